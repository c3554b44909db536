#!/usr/bin/env python3
"""Reads ptxas's reports (sm_XX/NAME.log) and cubins (sm_XX/NAME.cubin) below a folder and writes a CSV.

tools/kernel_stats.sh is the way to call it. Columns, one row a kernel and architecture:
  kernel            without mome:: and mome::cuda::, return type and parameters; template arguments kept
  registers         per thread
  shared_bytes      static shared memory per block (dynamic shared memory is the launch's: not in it)
  stack_bytes, spill_store_bytes, spill_load_bytes   per thread
  occupancy         resident warps / most resident warps of a multiprocessor, limited by registers,
                    static shared memory, blocks and warps (the rules of CUDA's cuda_occupancy.h), for
                    blocks as large as __launch_bounds__ allows; 128 threads where a kernel has none.
                    A launch with smaller blocks or with dynamic shared memory can have another one.
A device function that is not inlined has a row of its own when it uses stack or spills ("... [function]"):
its registers are in its callers' rows.
"""
import argparse
import collections
import csv
import pathlib
import re
import struct
import subprocess
import sys

COLUMNS = ("arch", "kernel", "registers", "shared_bytes", "stack_bytes", "spill_store_bytes",
           "spill_load_bytes", "occupancy")
ASSUMED_THREADS = 128

# Resident warps and blocks and shared memory (KiB) of a multiprocessor: CUDA C++ Programming Guide,
# table "Technical Specifications per Compute Capability".
Limits = collections.namedtuple("Limits", "warps blocks shared_kib")
LIMITS = {
    70: Limits(64, 32, 96), 72: Limits(64, 32, 96), 75: Limits(32, 16, 64), 80: Limits(64, 32, 164),
    86: Limits(48, 16, 100), 87: Limits(48, 16, 164), 89: Limits(48, 24, 100), 90: Limits(64, 32, 228),
    100: Limits(64, 32, 228), 103: Limits(64, 32, 228), 110: Limits(48, 24, 228),
    120: Limits(48, 24, 100), 121: Limits(48, 24, 100),
}


class StatsError(Exception):
    pass


def round_up(value, step):
    return -(-value // step) * step


def occupancy(arch, threads, registers, shared_bytes):
    """Resident warps / most resident warps; 0 for a block that cannot be launched."""
    limits = LIMITS[arch]
    warps = -(-threads // 32)
    blocks = min(limits.blocks, limits.warps // warps)
    if registers:
        # 64K registers, a quarter of them for each of 4 schedulers; a warp gets multiples of 256.
        per_warp = round_up(registers * 32, 256)
        fits = per_warp * round_up(warps, 4) <= 65536
        blocks = min(blocks, 16384 // per_warp * 4 // warps) if fits else 0
    # From compute capability 8.0 on the driver keeps 1 KiB of each block's shared memory for itself.
    reserved, step = (1024, 128) if arch >= 80 else (0, 256)
    shared = round_up(shared_bytes + reserved, step)
    if shared:
        blocks = min(blocks, limits.shared_kib * 1024 // shared)
    return blocks * warps / limits.warps


def block_sizes(cubin):
    """{kernel's symbol: threads of its launch bound, or None}, from a cubin's .nv.info sections."""
    data = cubin.read_bytes()
    if data[:5] != b"\x7fELF\x02":
        raise StatsError(f"{cubin}: not a 64-bit ELF file")
    try:
        table, = struct.unpack_from("<Q", data, 40)
        entry_size, count, names_index = struct.unpack_from("<3H", data, 58)
        headers = [struct.unpack_from("<IIQQQQ", data, table + i * entry_size) for i in range(count)]
        names_offset = headers[names_index][4]
        sizes = {}
        for header in headers:
            start = names_offset + header[0]
            name = data[start:data.index(b"\0", start)].decode()
            if name.startswith(".nv.info."):
                info = data[header[4]:header[4] + header[5]]
                sizes[name[len(".nv.info."):]] = launch_bound(info)
        return sizes
    except (struct.error, IndexError, ValueError) as error:
        raise StatsError(f"{cubin}: a damaged cubin ({error})") from error


def launch_bound(info):
    """Threads of attribute EIATTR_MAX_THREADS (0x05) or EIATTR_REQNTID (0x10), or None.

    Entries: format, attribute, then a 16-bit value, or (format 4) a 16-bit size and that many bytes.
    """
    position = 0
    while position + 4 <= len(info):
        form, attribute, value = struct.unpack_from("<BBH", info, position)
        position += 4
        if form == 4:
            if attribute in (0x05, 0x10):
                x, y, z = struct.unpack_from("<3I", info, position)
                return x * y * z
            position += value
    return None


def parse_log(log):
    """[(symbol, is it a kernel, {column: number})] of a ptxas -v report."""
    functions = []
    kernel = current = None
    for line in log.read_text(errors="replace").splitlines():
        if match := re.search(r"Compiling entry function '([^']+)' for 'sm_", line):
            kernel = match[1]
        elif match := re.search(r"Function properties for (\S+)", line):
            current = {}
            functions.append((match[1], match[1] == kernel, current))
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            if current is None:
                raise StatsError(f"{log}: \"{line.strip()}\" comes before any function")
            for column, number in zip(COLUMNS[4:7], match.groups()):
                current[column] = int(number)
        elif match := re.search(r"Used (\d+) registers", line):
            if current is None or kernel is None:
                raise StatsError(f"{log}: \"{line.strip()}\" comes before any kernel")
            current["registers"] = int(match[1])
            shared = re.search(r"(\d+)(?:\+(\d+))? bytes smem", line)
            current["shared_bytes"] = sum(int(n) for n in shared.groups() if n) if shared else 0
            kernel = None
    for symbol, is_kernel, numbers in functions:
        wanted = COLUMNS[2:7] if is_kernel else COLUMNS[4:7]
        if any(column not in numbers for column in wanted):
            raise StatsError(f"{log}: the report on {symbol} is not whole: expected stack, spills and registers")
    return functions


def demangle(symbols):
    symbols = sorted(symbols)
    try:
        done = subprocess.run(["c++filt"], input="\n".join(symbols) + "\n", capture_output=True, text=True,
                              check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StatsError(f"c++filt (Debian: binutils) cannot be run: {error}") from error
    return dict(zip(symbols, done.stdout.splitlines()))


def short_name(demangled):
    """`void mome::cuda::f<2, (mome::A)1>(int, float*)` -> `f<2, (A)1>`."""
    name = re.sub(r"\bmome::(?:cuda::)?|\(anonymous namespace\)::", "", demangled)
    depth = 0
    end = len(name)
    for i in range(len(name) - 1, -1, -1):  # the last (...) outside <> is the parameter list
        depth += {")": 1, ">": 1, "(": -1, "<": -1}.get(name[i], 0)
        if depth == 0:
            if name[i] == "(":
                end = i
            break
    name = name[:end]
    depth = 0
    for i in range(len(name) - 1, -1, -1):  # what is left of a blank outside <> and () is the return type
        depth += {")": 1, ">": 1, "(": -1, "<": -1}.get(name[i], 0)
        if depth == 0 and name[i] == " ":
            return name[i + 1:]
    return name


def read_folder(folder):
    """Rows [(arch, file's stem, symbol, is it a kernel, numbers with "threads")] of all reports."""
    logs = sorted(folder.glob("sm_*/*.log"))
    if not logs:
        raise StatsError(f"{folder}: no sm_*/*.log in it (tools/cuda_compile.sh writes them)")
    rows = []
    for log in logs:
        match = re.fullmatch(r"sm_(\d+)[af]?", log.parent.name)
        if not match or int(match[1]) not in LIMITS:
            raise StatsError(f"{log.parent}: not an architecture known here: {', '.join(map(str, LIMITS))}")
        functions = parse_log(log)
        cubin = log.with_suffix(".cubin")
        if not cubin.exists():
            raise StatsError(f"{cubin}: missing beside its report: the file did not compile")
        sizes = block_sizes(cubin)
        reported = {symbol for symbol, is_kernel, _ in functions if is_kernel}
        if reported != set(sizes):  # else a report in a new wording would give a table without rows
            raise StatsError(f"{log}: its kernels are not those of {cubin}: "
                             f"{', '.join(sorted(reported ^ set(sizes)))}")
        for symbol, is_kernel, numbers in functions:
            numbers["threads"] = sizes.get(symbol) or ASSUMED_THREADS
            rows.append((int(match[1]), log.parent.name[3:], log.stem, symbol, is_kernel, numbers))
    return rows


def table(rows):
    """Rows in COLUMNS' order, by architecture and name."""
    full = demangle({row[3] for row in rows})
    # One short name for different functions gets the file's name before it, and its parameters back if
    # one file has both. Not by symbol: compilers mangle an anonymous namespace each in their own way.
    owners = collections.defaultdict(set)
    for _, _, stem, symbol, _, _ in rows:
        owners[short_name(full[symbol])].add((stem, full[symbol]))
    lines = set()
    for arch, arch_name, stem, symbol, is_kernel, numbers in rows:
        if not is_kernel and not any(numbers[column] for column in COLUMNS[4:7]):
            continue
        name = short_name(full[symbol])
        if len(owners[name]) > 1:
            in_this_file = sum(owner[0] == stem for owner in owners[name])
            name = f"{stem}:{name if in_this_file == 1 else full[symbol]}"
        if is_kernel:
            share = occupancy(arch, numbers["threads"], numbers["registers"], numbers["shared_bytes"])
            ends = (numbers["registers"], numbers["shared_bytes"]), f"{share:.3f}"
        else:
            name += " [function]"
            ends = ("", ""), ""
        middle = tuple(numbers[column] for column in COLUMNS[4:7])
        lines.add((arch, arch_name, name) + ends[0] + middle + (ends[1],))
    return [line[1:] for line in sorted(lines, key=lambda line: (line[:3], str(line)))]


def main():
    parser = argparse.ArgumentParser(description="what each CUDA kernel takes, as CSV")
    parser.add_argument("--no-spills", action="store_true")
    parser.add_argument("folder", type=pathlib.Path)
    arguments = parser.parse_args()
    lines = table(read_folder(arguments.folder))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(lines)
    sys.stdout.flush()
    spilling = [line for line in lines if line[5] or line[6]]
    if arguments.no_spills and spilling:
        for line in spilling:
            print(f"kernel_stats: sm_{line[0]}: {line[1]} spills: {line[5]} bytes of stores, {line[6]} of loads"
                  f"{f', {line[2]} registers' if line[2] != '' else ''}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (StatsError, OSError) as failure:
        print(f"kernel_stats: {failure}", file=sys.stderr)
        sys.exit(1)

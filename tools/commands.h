// The subcommands of `mome`, one a source file of this folder. Each adds itself to the program with
// its options and a callback that does the work; errors leave the callback as exceptions
// (main.cpp).
#pragma once

namespace CLI {
class App;
}

namespace mome {

void add_bench_command(CLI::App& app);
void add_config_command(CLI::App& app);
void add_convert_command(CLI::App& app);
void add_data_command(CLI::App& app);
void add_embed_command(CLI::App& app);
void add_evaluate_command(CLI::App& app);
void add_finetune_command(CLI::App& app);
void add_info_command(CLI::App& app);
void add_launch_command(CLI::App& app);
void add_plan_command(CLI::App& app);
void add_pretrain_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_search_command(CLI::App& app);
void add_serve_command(CLI::App& app);
void add_trace_command(CLI::App& app);
void add_watch_command(CLI::App& app);

// The subcommands of `mome bench`, which is begun by `mome bench step`.
void add_bench_embed_command(CLI::App& bench);
void add_bench_forward_command(CLI::App& bench);
void add_bench_load_command(CLI::App& bench);
void add_bench_loader_command(CLI::App& bench);
void add_bench_search_command(CLI::App& bench);

// The subcommands of `mome data`.
void add_data_answers_command(CLI::App& data);
void add_data_codebook_command(CLI::App& data);
void add_data_emoji_command(CLI::App& data);
void add_data_inspect_command(CLI::App& data);
void add_data_pairs_command(CLI::App& data);
void add_data_shards_command(CLI::App& data);
void add_data_vocab_command(CLI::App& data);

}  // namespace mome

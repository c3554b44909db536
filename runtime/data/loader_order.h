// Which order a data set is gone through in.
#pragma once
#include <memory>
#include <vector>

#include "runtime/data/loader.h"
#include "runtime/data/order.h"
#include "runtime/data/piped_shards.h"

namespace mome {

/// SampleOrder, or ShardOrder if any record is of a piped shard: then each shard, piped or not, and
/// each run of records that are files of their own is a shard of its. With options.images the
/// shards to come are fetched ahead, and there is room for all that this rank has open.
std::unique_ptr<const Order> make_order(const Dataset& dataset, const LoaderOptions& options);

/// Every pool that a record's shard is of.
std::vector<PipedShards*> pools_of(const Dataset& dataset);

}  // namespace mome

// Captions from Unicode's emoji names.
#pragma once
#include <string>
#include <vector>

namespace mome {

/// The captions of one picture: the name itself, then the same in running English. All of them
/// say the same thing, so that a held-out name gives nothing away through another's captions.
///   "woman health worker: medium-dark skin tone" ->
///     "woman health worker with medium-dark skin", "a woman health worker with medium-dark skin"
///   "person: light skin tone, red hair"  -> "a person with light skin and red hair"
///   "flag: Norway" -> "the flag of Norway"; "keycap: 5" -> "a keycap with 5"
std::vector<std::string> emoji_captions(const std::string& name);

}  // namespace mome

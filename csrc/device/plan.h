// How the dialogues and the units of a scan are dealt out to the blocks of a card.
#pragma once

#include "scan.h"

namespace mm_emotion::device {

// Fills in `slices`, `members`, `chunk` and `resident` for a card that keeps `blocks` blocks of up to `bytes` of shared
// memory running at once; `bytes_of` says what a block takes. Small groups are preferred, as they wait for few: as many
// slices as leave each block a tile of dialogues and its weights in shared memory. False where nothing fits.
inline bool plan(ScanSizes& s, int blocks, int64_t bytes, int64_t (*bytes_of)(const ScanSizes&)) {
  constexpr int kFewestDialogues = 8, kFewestUnits = 4, kMostDialogues = 32;
  const int least = smaller(larger(1, s.dialogues), groups_of(s.dialogues, bytes / 64));
  const auto fits = [&](int slices, int resident) {
    s.slices = slices, s.resident = resident;
    const int widest = larger(s.g, larger(s.p, s.e));
    s.members = clamp(blocks / (s.directions * slices), 1, groups_of(widest, kFewestUnits));
    for (s.chunk = clamp(groups_of(s.most_dialogues(), 8) * 8, 8, kMostDialogues); s.chunk >= (resident ? 8 : 2); s.chunk /= 2)
      if (bytes_of(s) <= bytes) return true;
    return false;
  };
  const int most = larger(least, smaller(groups_of(s.dialogues, kFewestDialogues), blocks / s.directions));
  for (int slices = most; slices >= least; --slices)
    if (fits(slices, 1)) return true;
  return least * s.directions <= blocks && fits(least, 0);
}

}  // namespace mm_emotion::device

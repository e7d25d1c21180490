#!/bin/bash -eu
# Builds the fuzzer of the kernels in OSS-Fuzz's image, whose variables these are.
objects=()
for source in fuzz/kernels.c src/*.c; do
  object=$WORK/$(basename "$source" .c).o
  $CC $CFLAGS -std=c11 -ffp-contract=off -fno-trapping-math -fno-math-errno -Isrc -Ifuzz \
    -DTILE_ELEMENTS=1024 -DPAST_CACHE_BYTES=4096 -c "$source" -o "$object"
  objects+=("$object")
done
$CXX $CXXFLAGS $LIB_FUZZING_ENGINE "${objects[@]}" -lm -o "$OUT/kernels"
printf '[libfuzzer]\nmax_len = 512\nlen_control = 0\n' > "$OUT/kernels.options"

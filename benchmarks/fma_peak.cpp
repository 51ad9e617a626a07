// Independent multiply-adds in registers, as many in flight as hide their latency: the arithmetic peak of one thread.

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
typedef float Vector __attribute__((vector_size(BYTES)));

// Floating point operations done.
extern "C" double multiply_add(long rounds) {
    constexpr int chains = 12;
    const Vector factor = Vector{} + 0.999f, term = Vector{} + 0.001f;
    Vector sums[chains];
#pragma GCC unroll 12
    for (int chain = 0; chain < chains; ++chain) sums[chain] = term;
    for (long round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
        for (int chain = 0; chain < chains; ++chain) sums[chain] = sums[chain] * factor + term;
        // Keeps every chain alive and in registers.
#pragma GCC unroll 12
        for (int chain = 0; chain < chains; ++chain) {
#if defined(__x86_64__)
            asm volatile("" : "+x"(sums[chain]));
#elif defined(__aarch64__)
            asm volatile("" : "+w"(sums[chain]));
#endif
        }
    }
    return 2.0 * (BYTES / 4) * chains * double(rounds);
}

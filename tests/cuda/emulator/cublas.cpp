// cuBLAS: products of matrices, column after column, on the CPU.
#include "cudasim.h"
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace {

enum { SUCCESS = 0, NOT_INITIALIZED = 1, INVALID_VALUE = 7, EXECUTION_FAILED = 13, NOT_SUPPORTED = 15 };
enum { N = 0, T = 1, C = 2 };

/// The bits of a factor's mantissa that are dropped: of the 23, TF32 keeps ten and BF16 seven.
enum Dropped { FULL = 0, TF32 = 13, BF16 = 16 };

struct Handle {
    void *stream, *context;
    bool tf32;
};

/// The nearest value with fewer bits of mantissa, to the even one of two.
float rounded(float value, int dropped)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t half = (1u << dropped >> 1) - 1;
    if ((bits & 0x7f800000u) != 0x7f800000u) bits = (bits + half + (bits >> dropped & 1)) & ~((1u << dropped) - 1);
    memcpy(&value, &bits, 4);
    return value;
}

struct Matrix {
    const float *at;
    long step_row, step_column;
    float operator()(long row, long column) const { return at[row * step_row + column * step_column]; }
};

typedef float Lanes __attribute__((vector_size(64)));
constexpr int WIDE = 16, MR = 2 * WIDE, NR = 8;
constexpr long MC = 256, NC = 2048;
/// Terms that are added up together: another number gives other roundings.
const long KC = getenv("CUDASIM_TERMS") ? std::max(1, atoi(getenv("CUDASIM_TERMS"))) : 256;

/// A panel of MR rows times one of NR columns, added to C.
void tile(long depth, const float *a, const float *b, float alpha, float *c, long ldc, long rows, long columns)
{
    Lanes sums[NR][2] = {};
    for (long k = 0; k < depth; k++, a += MR, b += NR) {
        Lanes low, high;
        memcpy(&low, a, sizeof low);
        memcpy(&high, a + WIDE, sizeof high);
#pragma GCC unroll 8
        for (int j = 0; j < NR; j++) {
            sums[j][0] += low * b[j];
            sums[j][1] += high * b[j];
        }
    }
    float out[MR];
    for (long j = 0; j < columns; j++) {
        memcpy(out, sums[j], sizeof out);
        for (long i = 0; i < rows; i++) c[j * ldc + i] += alpha * out[i];
    }
}

/// C += alpha A B.
void add_product(long m, long n, long k, float alpha, Matrix a, Matrix b, float *c, long ldc, int dropped)
{
    static std::vector<float> left, right;
    left.resize((MC + MR) * KC);
    right.resize((NC + NR) * KC);
    auto value = [dropped](float x) { return dropped ? rounded(x, dropped) : x; };
    for (long j0 = 0; j0 < n; j0 += NC)
        for (long k0 = 0; k0 < k; k0 += KC) {
            long columns = std::min(NC, n - j0), depth = std::min(KC, k - k0);
            float *to = right.data();
            for (long j = 0; j < columns; j += NR)
                for (long p = 0; p < depth; p++)
                    for (long jj = 0; jj < NR; jj++) *to++ = j + jj < columns ? value(b(k0 + p, j0 + j + jj)) : 0.0f;
            for (long i0 = 0; i0 < m; i0 += MC) {
                long rows = std::min(MC, m - i0);
                to = left.data();
                for (long i = 0; i < rows; i += MR)
                    for (long p = 0; p < depth; p++)
                        for (long ii = 0; ii < MR; ii++) *to++ = i + ii < rows ? value(a(i0 + i + ii, k0 + p)) : 0.0f;
                for (long j = 0; j < columns; j += NR)
                    for (long i = 0; i < rows; i += MR)
                        tile(depth, &left[i * depth], &right[j * depth], alpha, &c[(j0 + j) * ldc + i0 + i], ldc,
                            std::min<long>(MR, rows - i), std::min<long>(NR, columns - j));
            }
        }
}

uint64_t extent(long rows, long columns, long ld) { return rows && columns ? uint64_t(ld * (columns - 1) + rows) * 4 : 0; }

int gemm(const char *name, Handle *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, long stride_a,
    const float *b, int ldb, long stride_b, const float *beta, float *c, int ldc, long stride_c, int batch, int dropped)
{
    if (!handle) return NOT_INITIALIZED;
    if (cudasim_current() != handle->context) {
        cudasim_complain("cuBLAS is called where another context is current, or none");
        return EXECUTION_FAILED;
    }
    if (cudasim_lost()) return EXECUTION_FAILED;
    int rows_a = ta == N ? m : k, rows_b = tb == N ? k : n;
    if (m < 0 || n < 0 || k < 0 || batch < 0 || lda < std::max(1, rows_a) || ldb < std::max(1, rows_b) || ldc < std::max(1, m)) {
        char text[200];
        snprintf(text, sizeof text, "%s(%c%c, %d, %d, %d, lda %d, ldb %d, ldc %d, batch %d)", name, "NTC"[ta], "NTC"[tb], m, n, k, lda, ldb, ldc, batch);
        cudasim_complain(text);
        return INVALID_VALUE;
    }
    if (!m || !n || !batch) return SUCCESS;
    bool fine = true;
    for (int at = 0; at < batch; at++) {
        fine = fine && cudasim_usable(uint64_t(a + at * stride_a), extent(rows_a, ta == N ? k : m, lda), "cuBLAS, A");
        fine = fine && cudasim_usable(uint64_t(b + at * stride_b), extent(rows_b, tb == N ? n : k, ldb), "cuBLAS, B");
        fine = fine && cudasim_usable(uint64_t(c + at * stride_c), extent(m, n, ldc), "cuBLAS, C");
    }
    if (!fine) return EXECUTION_FAILED;
    float by = *alpha, keep = *beta;
    char text[100];
    snprintf(text, sizeof text, "%s %c%c m %d n %d k %d%s%s%s", name, "NTC"[ta], "NTC"[tb], m, n, k, keep ? " +=" : "", batch > 1 ? " batched" : "",
        dropped == TF32 ? " in TF32" : dropped == BF16 ? " in BF16" : "");
    double bytes = 4.0 * batch * (double(m) * k + double(k) * n + double(m) * n * (keep ? 2 : 1)), flops = 2.0 * batch * m * n * k;
    std::string label = text;
    cudasim_count_product(label, bytes, flops, 0);
    cudasim_submit(handle->stream, [=] {
        for (int at = 0; at < batch; at++) {
            float *to = c + at * stride_c;
            for (long j = 0; j < n; j++)
                for (long i = 0; i < m; i++) to[j * long(ldc) + i] = keep == 0.0f ? 0.0f : keep * to[j * long(ldc) + i];
            Matrix left{a + at * stride_a, ta == N ? 1 : lda, ta == N ? lda : 1}, right{b + at * stride_b, tb == N ? 1 : ldb, tb == N ? ldb : 1};
            add_product(m, n, k, by, left, right, to, ldc, dropped);
        }
    });
    return SUCCESS;
}

int precision(const Handle *handle) { return handle && handle->tf32 ? TF32 : FULL; }

} // namespace

#define ENTRY if (int error = cudasim_enter_library(__func__)) return error

extern "C" {

int cublasCreate_v2(Handle **handle)
{
    ENTRY;
    if (!cudasim_current()) {
        cudasim_complain("cublasCreate without a current context");
        return NOT_INITIALIZED;
    }
    *handle = new Handle{nullptr, cudasim_current(), false};
    return SUCCESS;
}

/// Only 0 is a value of `NVIDIA_TF32_OVERRIDE` that NVIDIA documents: no TF32 at all.
int cublasSetMathMode(Handle *handle, int mode)
{
    ENTRY;
    const char *override = getenv("NVIDIA_TF32_OVERRIDE");
    handle->tf32 = mode == 3 && !(override && !strcmp(override, "0"));
    return mode == 0 || mode == 3 ? SUCCESS : NOT_SUPPORTED;
}

int cublasDestroy_v2(Handle *handle)
{
    ENTRY;
    delete handle;
    return SUCCESS;
}

int cublasSetStream_v2(Handle *handle, void *stream)
{
    ENTRY;
    handle->stream = stream;
    return SUCCESS;
}

int cublasSgemm_v2(Handle *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, const float *b, int ldb,
    const float *beta, float *c, int ldc)
{
    ENTRY;
    return gemm("sgemm", handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1, precision(handle));
}

/// Matrices of floats only; sums of 32 bits, factors as the mode of the handle says or in BF16.
int cublasGemmEx(Handle *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int type_a, int lda, const float *b,
    int type_b, int ldb, const float *beta, float *c, int type_c, int ldc, int compute, int)
{
    ENTRY;
    constexpr int FLOAT = 0, COMPUTE_32F = 68, COMPUTE_32F_FAST_16BF = 75;
    if (type_a != FLOAT || type_b != FLOAT || type_c != FLOAT || (compute != COMPUTE_32F && compute != COMPUTE_32F_FAST_16BF)) return NOT_SUPPORTED;
    int dropped = compute == COMPUTE_32F_FAST_16BF ? BF16 : precision(handle);
    return gemm("sgemm", handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1, dropped);
}

int cublasSgemmStridedBatched(Handle *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda, long long stride_a,
    const float *b, int ldb, long long stride_b, const float *beta, float *c, int ldc, long long stride_c, int batch)
{
    ENTRY;
    return gemm("sgemm", handle, ta, tb, m, n, k, alpha, a, lda, stride_a, b, ldb, stride_b, beta, c, ldc, stride_c, batch, precision(handle));
}

int cublasSgemv_v2(Handle *handle, int t, int m, int n, const float *alpha, const float *a, int lda, const float *x, int incx, const float *beta,
    float *y, int incy)
{
    ENTRY;
    if (incx != 1 || incy != 1) return NOT_SUPPORTED;
    int rows = t == N ? m : n, inner = t == N ? n : m;
    return gemm("sgemv", handle, t, N, rows, 1, inner, alpha, a, lda, 0, x, std::max(1, inner), 0, beta, y, std::max(1, rows), 0, 1, FULL);
}

#define UNSUPPORTED(name)                              \
    int name()                                         \
    {                                                  \
        cudasim_complain(#name " is not there");       \
        return NOT_SUPPORTED;                          \
    }
UNSUPPORTED(cublasDgemm_v2)
UNSUPPORTED(cublasDgemv_v2)
UNSUPPORTED(cublasDgemmStridedBatched)
UNSUPPORTED(cublasGemmStridedBatchedEx)
UNSUPPORTED(cublasHgemm)
UNSUPPORTED(cublasHgemmStridedBatched)

} // extern "C"

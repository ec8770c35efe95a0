// Common definitions. All kernels are compiled together, by `build.rs`.
//
// The tests compile them for the CPU: they use no atomics and no warps, only threads of a block that synchronize. So every
// sum has the same order each time, and the same bits.

/// A number of values, which may be more than an int holds.
typedef long long Count;

/// Threads of a block whose threads work together; see `Grid::blocks`.
#define THREADS 256

/// Takes `at` over all values of the grid.
#define EACH(at, count) \
    for (Count at = (Count)blockIdx.x * blockDim.x + threadIdx.x; at < (count); at += (Count)gridDim.x * blockDim.x)

/// A sliding window: sizes in pixels, output pixels numbered image after image, row after row.
#define WINDOW int height, int width, int rows, int columns, int kernel_height, int kernel_width, int stride, int top, int left

/// Not every compiler includes the header of `INFINITY`.
#ifndef INFINITY
#define INFINITY __int_as_float(0x7f800000)
#endif

/// Codes as `Activation::code` gives them.
enum { NONE = 0, RELU = 1, RELU6 = 2, TANH = 3, SIGMOID = 4, SWISH = 5, HARD_SIGMOID = 6, HARD_SWISH = 7, GELU = 8 };

static __device__ float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

static __device__ float hard_sigmoid(float x)
{
    return x < -3.0f ? 0.0f : (x > 3.0f ? 1.0f : (x + 3.0f) / 6.0f);
}

/// The comparisons keep a NaN a NaN.
static __device__ float activated(float x, int activation)
{
    switch (activation) {
    case RELU: return x < 0.0f ? 0.0f : x;
    case RELU6: return x < 0.0f ? 0.0f : (x > 6.0f ? 6.0f : x);
    case TANH: return tanhf(x);
    case SIGMOID: return sigmoid(x);
    case SWISH: return x * sigmoid(x);
    case HARD_SIGMOID: return hard_sigmoid(x);
    case HARD_SWISH: return x * hard_sigmoid(x);
    case GELU: return 0.5f * x * erfcf(-0.70710678f * x);
    default: return x;
    }
}

/// The slope of an activation where its output is `y`; of those that rise and fall, the output does not say.
static __device__ float slope(float y, int activation)
{
    switch (activation) {
    case RELU: return y > 0.0f ? 1.0f : 0.0f;
    case RELU6: return y > 0.0f && y < 6.0f ? 1.0f : 0.0f;
    case TANH: return 1.0f - y * y;
    case SIGMOID: return y * (1.0f - y);
    case HARD_SIGMOID: return y > 0.0f && y < 1.0f ? 1.0f / 6.0f : 0.0f;
    default: return 1.0f;
    }
}

/// The sum over the threads of a block, for all of them.
static __device__ float block_sum(float value)
{
    __shared__ float values[THREADS];
    values[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) values[threadIdx.x] += values[threadIdx.x + half];
        __syncthreads();
    }
    float sum = values[0];
    __syncthreads();
    return sum;
}

/// The largest over the threads of a block, for all of them.
static __device__ float block_maximum(float value)
{
    __shared__ float values[THREADS];
    values[threadIdx.x] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) values[threadIdx.x] = fmaxf(values[threadIdx.x], values[threadIdx.x + half]);
        __syncthreads();
    }
    float largest = values[0];
    __syncthreads();
    return largest;
}

// Operations on values and rows, around the matrix products.

extern "C" __global__ void copy_values(const float *from, float *to, Count count)
{
    EACH(at, count) to[at] = from[at];
}

extern "C" __global__ void add_values(const float *from, float *to, Count count)
{
    EACH(at, count) to[at] += from[at];
}

/// `to += scale * from`; the scale is a single number on the GPU.
extern "C" __global__ void add_scaled(const float *from, const float *scale, float *to, Count count)
{
    EACH(at, count) to[at] += *scale * from[at];
}

extern "C" __global__ void scale_values(const float *from, const float *scale, float *to, Count count)
{
    EACH(at, count) to[at] = *scale * from[at];
}

extern "C" __global__ void multiply_values(const float *from, const float *factors, float *to, Count count)
{
    EACH(at, count) to[at] = from[at] * factors[at];
}

extern "C" __global__ void add_multiplied(const float *from, const float *factors, float *to, Count count)
{
    EACH(at, count) to[at] += from[at] * factors[at];
}

extern "C" __global__ void activate(const float *from, float *to, int activation, Count count)
{
    EACH(at, count) to[at] = activated(from[at], activation);
}

/// Adds a row of biases to every row and applies the nonlinearity.
extern "C" __global__ void finish_rows(float *values, const float *bias, int columns, int activation, Count count)
{
    EACH(at, count) values[at] = activated(values[at] + bias[at % columns], activation);
}

/// `gradient` after an activation whose outputs these are becomes the gradient before it.
extern "C" __global__ void activation_backward(float *gradient, const float *outputs, int activation, Count count)
{
    EACH(at, count) gradient[at] *= slope(outputs[at], activation);
}

/// Threads side by side in `column_sums`, a column each; the others of a block take every eighth row.
#define SIDE_BY_SIDE 32

/// Sums of columns: block (x, y) makes those of the y-th 32 columns over the x-th `band` of rows, `sums` [bands, columns].
/// Called on the sums of the bands again, with `accumulate`, it adds up the whole.
extern "C" __global__ void column_sums(
    const float *rows, float *sums, int height, int columns, int band, int accumulate)
{
    __shared__ float parts[THREADS];
    int side = threadIdx.x % SIDE_BY_SIDE, lane = threadIdx.x / SIDE_BY_SIDE;
    int column = blockIdx.y * SIDE_BY_SIDE + side;
    Count first = (Count)blockIdx.x * band;
    Count end = first + band < height ? first + band : height;
    float sum = 0.0f;
    if (column < columns)
        for (Count row = first + lane; row < end; row += THREADS / SIDE_BY_SIDE) sum += rows[row * columns + column];
    parts[threadIdx.x] = sum;
    __syncthreads();
    if (lane > 0 || column >= columns) return;
    for (int other = 1; other < THREADS / SIDE_BY_SIDE; other++) sum += parts[other * SIDE_BY_SIDE + side];
    float *out = &sums[(Count)blockIdx.x * columns + column];
    *out = accumulate ? *out + sum : sum;
}

/// `scale` times the sum of all values, by one block.
extern "C" __global__ void total(const float *values, float *sum, float scale, Count count)
{
    float part = 0.0f;
    for (Count at = threadIdx.x; at < count; at += THREADS) part += values[at];
    part = block_sum(part);
    if (threadIdx.x == 0) *sum = scale * part;
}

extern "C" __global__ void gather_rows(
    const float *table, const unsigned *rows, float *gathered, int columns, Count count)
{
    EACH(at, count) gathered[at] = table[(Count)rows[at / columns] * columns + at % columns];
}

extern "C" __global__ void add_gathered_rows(
    const float *table, const unsigned *rows, const float *terms, float *sums, int columns, Count count)
{
    EACH(at, count) sums[at] = terms[at] + table[(Count)rows[at / columns] * columns + at % columns];
}

/// The backward pass of gathering. One thread adds up the terms of a table row, in order: `unique` lists the rows of the
/// table, and `order` from `starts[i]` to `starts[i + 1]` the terms of the i-th.
extern "C" __global__ void scatter_rows(const float *terms, float *table, const unsigned *unique,
    const unsigned *starts, const unsigned *order, int columns, Count count)
{
    EACH(at, count) {
        Count which = at / columns, column = at % columns;
        float sum = 0.0f;
        for (unsigned next = starts[which]; next < starts[which + 1]; next++)
            sum += terms[(Count)order[next] * columns + column];
        table[(Count)unique[which] * columns + column] += sum;
    }
}

/// The mean of each `size` neighboring rows.
extern "C" __global__ void mean_of_groups(const float *rows, float *means, int size, int columns, Count count)
{
    EACH(at, count) {
        const float *group = rows + at / columns * size * columns + at % columns;
        float sum = 0.0f;
        for (int row = 0; row < size; row++) sum += group[(Count)row * columns];
        means[at] = sum / size;
    }
}

/// The backward pass of `mean_of_groups`: adds its share of a mean's gradient to each row.
extern "C" __global__ void spread_to_groups(const float *means, float *rows, int size, int columns, Count count)
{
    EACH(at, count) {
        Count row = at / columns;
        rows[at] += means[row / size * columns + at % columns] / size;
    }
}

#define ROTATED(word, by) ((word) << (by) | (word) >> (32 - (by)))

#define QUARTER_ROUND(a, b, c, d)                                                                    \
    a += b, d = ROTATED(d ^ a, 16), c += d, b = ROTATED(b ^ c, 12);                                  \
    a += b, d = ROTATED(d ^ a, 8), c += d, b = ROTATED(b ^ c, 7)

/// A block of the stream ChaCha8 (Bernstein 2008, with 8 rounds), as the host draws it: `key` has eight words of a key and
/// two of the stream's number.
static __device__ void chacha8(const unsigned *key, unsigned long long block, unsigned *words)
{
    const unsigned start[16] = {0x61707865u, 0x3320646eu, 0x79622d32u, 0x6b206574u, key[0], key[1], key[2], key[3],
        key[4], key[5], key[6], key[7], (unsigned)block, (unsigned)(block >> 32), key[8], key[9]};
    for (int at = 0; at < 16; at++) words[at] = start[at];
    for (int two_rounds = 0; two_rounds < 4; two_rounds++) {
        QUARTER_ROUND(words[0], words[4], words[8], words[12]);
        QUARTER_ROUND(words[1], words[5], words[9], words[13]);
        QUARTER_ROUND(words[2], words[6], words[10], words[14]);
        QUARTER_ROUND(words[3], words[7], words[11], words[15]);
        QUARTER_ROUND(words[0], words[5], words[10], words[15]);
        QUARTER_ROUND(words[1], words[6], words[11], words[12]);
        QUARTER_ROUND(words[2], words[7], words[8], words[13]);
        QUARTER_ROUND(words[3], words[4], words[9], words[14]);
    }
    for (int at = 0; at < 16; at++) words[at] += start[at];
}

/// Dropout with a mask that is drawn here, from word `first` of a stream on: the lower half of a word decides on one value,
/// the upper on the next. A thread for each block of 16 words.
extern "C" __global__ void drop_values(const float *from, float *to, const unsigned *key, Count first, int drop_below,
    float kept, int accumulate, Count count)
{
    Count first_block = first / 16, end_block = (first + (count + 1) / 2 + 15) / 16;
    EACH(block, end_block - first_block) {
        unsigned words[16];
        chacha8(key, first_block + block, words);
        Count place = 2 * ((first_block + block) * 16 - first);
        for (int half = 0; half < 32; half++, place++) {
            if (place < 0 || place >= count) continue;
            unsigned draw = words[half / 2] >> 16 * (half % 2) & 0xffffu;
            float value = draw < (unsigned)drop_below ? 0.0f : kept * from[place];
            to[place] = accumulate ? to[place] + value : value;
        }
    }
}

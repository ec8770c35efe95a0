// The windows of a convolution, gathered for a matrix product and scattered after it.

/// The windows of output pixels from `first` on, a row of [taps, packets] for each, with zeros in the padding. A block for
/// each pixel, so that its position is computed once; neighboring threads copy neighboring channels.
template <class Packet>
static __device__ void gather(const Packet *maps, Packet *seen, Count first, int packets, WINDOW)
{
    Count pixel = first + blockIdx.x;
    int column = pixel % columns, row = pixel / columns % rows;
    Count image = pixel / columns / rows;
    const Packet *map = maps + image * height * width * packets;
    Packet *to = seen + (Count)blockIdx.x * kernel_height * kernel_width * packets;
    for (int at = threadIdx.x; at < kernel_height * kernel_width * packets; at += blockDim.x) {
        int tap = at / packets;
        int y = row * stride + tap / kernel_width - top, x = column * stride + tap % kernel_width - left;
        bool inside = y >= 0 && y < height && x >= 0 && x < width;
        to[at] = inside ? map[((Count)y * width + x) * packets + at % packets] : Packet();
    }
}

/// Four channels that are copied at once.
struct __align__(16) Four { float a, b, c, d; };

extern "C" __global__ void gather_windows(const float *maps, float *seen, Count first, int channels, WINDOW)
{
    gather(maps, seen, first, channels, height, width, rows, columns, kernel_height, kernel_width, stride, top, left);
}

/// The same for a number of channels that four divides.
extern "C" __global__ void gather_windows_by_four(const float *maps, float *seen, Count first, int channels, WINDOW)
{
    gather((const Four *)maps, (Four *)seen, first, channels / 4, height, width, rows, columns, kernel_height,
        kernel_width, stride, top, left);
}

/// The backward pass: every value of a map collects its gradient from the windows of output pixels `first` to `end`, so
/// that no two threads add to the same value.
extern "C" __global__ void collect_windows(
    const float *seen, float *maps, Count first, Count end, int channels, WINDOW, Count count)
{
    EACH(at, count) {
        int channel = at % channels, x = at / channels % width, y = at / channels / width % height;
        Count image = at / channels / width / height;
        float sum = 0.0f;
        for (int tap_y = 0; tap_y < kernel_height; tap_y++) {
            int row = y + top - tap_y;
            if (row < 0 || row % stride || row / stride >= rows) continue;
            for (int tap_x = 0; tap_x < kernel_width; tap_x++) {
                int column = x + left - tap_x;
                if (column < 0 || column % stride || column / stride >= columns) continue;
                Count pixel = (image * rows + row / stride) * columns + column / stride;
                if (pixel < first || pixel >= end) continue;
                int tap = tap_y * kernel_width + tap_x;
                sum += seen[((pixel - first) * kernel_height * kernel_width + tap) * channels + channel];
            }
        }
        maps[at] += sum;
    }
}

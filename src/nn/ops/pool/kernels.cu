// Pooling, a thread for each output value.

/// The largest value of a window; padding never wins.
extern "C" __global__ void max_pool(const float *maps, float *out, int channels, WINDOW, Count count)
{
    EACH(at, count) {
        int channel = at % channels, column = at / channels % columns, row = at / channels / columns % rows;
        Count image = at / channels / columns / rows;
        const float *map = maps + image * height * width * channels + channel;
        float largest = -INFINITY;
        for (int tap_y = 0; tap_y < kernel_height; tap_y++) {
            int y = row * stride + tap_y - top;
            if (y < 0 || y >= height) continue;
            for (int tap_x = 0; tap_x < kernel_width; tap_x++) {
                int x = column * stride + tap_x - left;
                if (x < 0 || x >= width) continue;
                largest = fmaxf(largest, map[((Count)y * width + x) * channels]);
            }
        }
        out[at] = largest;
    }
}

/// For each output, the pixel of the first of its largest values in its map.
extern "C" __global__ void max_pool_places(
    const float *maps, const float *out, unsigned *places, int channels, WINDOW, Count count)
{
    EACH(at, count) {
        int channel = at % channels, column = at / channels % columns, row = at / channels / columns % rows;
        Count image = at / channels / columns / rows;
        const float *map = maps + image * height * width * channels + channel;
        unsigned place = 0xffffffffu;
        for (int tap = kernel_height * kernel_width - 1; tap >= 0; tap--) {
            int y = row * stride + tap / kernel_width - top, x = column * stride + tap % kernel_width - left;
            if (y < 0 || y >= height || x < 0 || x >= width) continue;
            if (map[((Count)y * width + x) * channels] == out[at]) place = y * width + x;
        }
        places[at] = place;
    }
}

/// The gradient of the maps: every value collects it from the outputs whose largest it is.
extern "C" __global__ void max_pool_back(
    const float *gradient, const unsigned *places, float *maps, int channels, WINDOW, Count count)
{
    EACH(at, count) {
        int channel = at % channels, x = at / channels % width, y = at / channels / width % height;
        Count image = at / channels / width / height;
        float sum = 0.0f;
        for (int tap = 0; tap < kernel_height * kernel_width; tap++) {
            int row = y + top - tap / kernel_width, column = x + left - tap % kernel_width;
            if (row < 0 || row % stride || row / stride >= rows) continue;
            if (column < 0 || column % stride || column / stride >= columns) continue;
            Count out = ((image * rows + row / stride) * columns + column / stride) * channels + channel;
            if (places[out] == y * width + x) sum += gradient[out];
        }
        maps[at] += sum;
    }
}

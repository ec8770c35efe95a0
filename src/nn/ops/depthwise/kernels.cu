// Depthwise convolution, a thread for each output value: neighboring threads read neighboring channels.

extern "C" __global__ void depthwise(const float *maps, const float *kernel, const float *bias, float *out, int channels,
    int activation, WINDOW, Count count)
{
    EACH(at, count) {
        int channel = at % channels, column = at / channels % columns, row = at / channels / columns % rows;
        Count image = at / channels / columns / rows;
        const float *map = maps + image * height * width * channels + channel;
        float sum = bias[channel];
        for (int tap_y = 0; tap_y < kernel_height; tap_y++) {
            int y = row * stride + tap_y - top;
            if (y < 0 || y >= height) continue;
            for (int tap_x = 0; tap_x < kernel_width; tap_x++) {
                int x = column * stride + tap_x - left;
                if (x < 0 || x >= width) continue;
                sum += map[((Count)y * width + x) * channels] * kernel[(tap_y * kernel_width + tap_x) * channels + channel];
            }
        }
        out[at] = activated(sum, activation);
    }
}

/// The gradient of the maps: every value collects it from the outputs whose windows contain it.
extern "C" __global__ void depthwise_to_maps(
    const float *gradient, const float *kernel, float *maps, int channels, WINDOW, Count count)
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
                sum += gradient[pixel * channels + channel] * kernel[(tap_y * kernel_width + tap_x) * channels + channel];
            }
        }
        maps[at] += sum;
    }
}

/// The gradient of the kernel: for each image, tap and channel the sum over the image's output pixels,
/// [images, taps, channels]. The sums of columns of that are the gradient.
extern "C" __global__ void depthwise_to_kernel(
    const float *maps, const float *gradient, float *sums, int channels, WINDOW, Count count)
{
    EACH(at, count) {
        int taps = kernel_height * kernel_width;
        int channel = at % channels, tap = at / channels % taps;
        Count image = at / channels / taps;
        const float *map = maps + image * height * width * channels + channel;
        const float *of_image = gradient + image * rows * columns * channels + channel;
        float sum = 0.0f;
        for (int row = 0; row < rows; row++) {
            int y = row * stride + tap / kernel_width - top;
            if (y < 0 || y >= height) continue;
            for (int column = 0; column < columns; column++) {
                int x = column * stride + tap % kernel_width - left;
                if (x < 0 || x >= width) continue;
                sum += map[((Count)y * width + x) * channels] * of_image[((Count)row * columns + column) * channels];
            }
        }
        sums[at] = sum;
    }
}

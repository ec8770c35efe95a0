// Makes the fault that its argument names. selftest.sh runs it and looks for the complaint.
#include <cstdint>
#include <cstdio>
#include <cstring>

extern "C" {
int cuInit(unsigned);
int cuDevicePrimaryCtxRetain(void **, int);
int cuCtxSetCurrent(void *);
int cuMemAllocAsync(uintptr_t *, size_t, void *);
int cuMemFreeAsync(uintptr_t, void *);
int cuMemcpyDtoHAsync_v2(void *, uintptr_t, size_t, void *);
int cuModuleLoadData(void **, const char *);
int cuModuleGetFunction(void **, void *, const char *);
int cuLaunchKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **);
int cuStreamSynchronize(void *);
}

const char *const SOURCE = "//CUDASIM sm_90 13000\n"
    "extern \"C\" __global__ void number(int *to) { to[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x; }\n"
    "extern \"C\" __global__ void turned(int *to) { __shared__ int all[64]; all[threadIdx.x] = threadIdx.x; __syncthreads();"
    " to[threadIdx.x] = all[63 - threadIdx.x]; }\n"
    "extern \"C\" __global__ void apart(int *to) { if (threadIdx.x < 8) __syncthreads(); else __syncthreads(); to[0] = 1; }\n";

int main(int, char **arguments)
{
    void *context, *module, *function;
    uintptr_t memory;
    cuInit(0);
    cuDevicePrimaryCtxRetain(&context, 0);
    if (!strcmp(arguments[1], "context")) return cuMemAllocAsync(&memory, 4, nullptr) == 201 ? 0 : 1;
    cuCtxSetCurrent(context);
    cuMemAllocAsync(&memory, 256, nullptr);
    cuModuleLoadData(&module, SOURCE);
    bool turned = !strcmp(arguments[1], "turned"), apart = !strcmp(arguments[1], "apart");
    cuModuleGetFunction(&function, module, turned ? "turned" : apart ? "apart" : "number");
    void *values[] = {&memory};
    if (!strcmp(arguments[1], "freed")) cuMemFreeAsync(memory, nullptr);
    cuLaunchKernel(function, !strcmp(arguments[1], "outside") ? 2 : 1, 1, 1, 64, 1, 1, 0, nullptr, values, nullptr);
    if (turned) {
        int found[64];
        cuMemcpyDtoHAsync_v2(found, memory, 256, nullptr);
        for (int at = 0; at < 64; at++)
            if (found[at] != 63 - at) return 1;
    }
    printf("%d\n", cuStreamSynchronize(nullptr));
}

// NVIDIA's management library, with as many devices as CUDASIM_DEVICES says.
#include "toolchain.h"
#include <cstring>

namespace {

struct Memory { unsigned version; unsigned long long total, reserved, free, used; };
struct Utilization { unsigned gpu, memory; };

int devices() { return atoi(toolchain::setting("CUDASIM_DEVICES", "1").c_str()); }
int capability() { return atoi(toolchain::setting("CUDASIM_CAPABILITY", "90").c_str()); }
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, DRIVER_NOT_LOADED = 9 };

} // namespace

extern "C" {

int nvmlInit_v2() { return getenv("CUDASIM_NO_DRIVER") ? DRIVER_NOT_LOADED : SUCCESS; }
int nvmlShutdown() { return SUCCESS; }
const char *nvmlErrorString(int error) { return error == SUCCESS ? "Success" : error == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Error"; }

int nvmlSystemGetDriverVersion(char *version, unsigned length)
{
    strncpy(version, "580.65.06", length);
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion(int *version)
{
    *version = atoi(toolchain::setting("CUDASIM_DRIVER", "13000").c_str());
    return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = devices();
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
    if (int(index) >= devices()) return INVALID_ARGUMENT;
    *device = reinterpret_cast<void *>(uintptr_t(index + 1));
    return SUCCESS;
}

int nvmlDeviceGetName(void *, char *name, unsigned length)
{
    strncpy(name, "NVIDIA H200 (simulated)", length);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo_v2(void *, Memory *memory)
{
    unsigned long long total = strtoull(toolchain::setting("CUDASIM_MEMORY", "150754820096").c_str(), nullptr, 10);
    *memory = {memory->version, total, 0, total, 0};
    return SUCCESS;
}

int nvmlDeviceGetCudaComputeCapability(void *, int *major, int *minor)
{
    *major = capability() / 10, *minor = capability() % 10;
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *, Utilization *rates)
{
    *rates = {50, 10};
    return SUCCESS;
}

} // extern "C"

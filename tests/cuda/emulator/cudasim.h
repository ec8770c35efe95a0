// Declarations that the stand-ins share.
#pragma once
#include <cstdarg>
#include <cstdint>
#include <functional>
#include <string>

/// Counts a call of a library other than the driver. Returns the injected error, or 0.
extern "C" int cudasim_enter_library(const char *function);
/// The context of this thread, or null.
extern "C" void *cudasim_current();
/// The driver's stream for a handle, null included.
extern "C" void *cudasim_stream(void *stream);
/// The error of a corrupted context, or 0.
extern "C" int cudasim_lost();
extern "C" void cudasim_complain(const char *what);
/// Whether these bytes are memory of the device that is in use; complains if not.
extern "C" bool cudasim_usable(uint64_t address, uint64_t bytes, const char *what);
/// Work for a stream, done when the driver comes to it.
void cudasim_submit(void *stream, std::function<void()> work);
void cudasim_count_product(const std::string &name, double bytes, double flops, double seconds);

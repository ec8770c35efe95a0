//! Linear algebra on the CPU, which the CPU kernels of the operations share.

pub(crate) mod elementary;
pub(crate) mod matmul;
pub(crate) mod packed_matrix;
pub(crate) mod partitions;
pub(crate) mod scratch;
pub(crate) mod slices;
pub(crate) mod sparse;
pub(crate) mod winograd;

/// Defines a function whose loops are compiled for the vectors of the machine.
///
/// It dispatches a type with the arguments as fields, because the compiler vectorizes only inlined code, and closures cannot
/// be marked for inlining.
macro_rules! vectorized {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),+ $(,)?) $body:block) => {
        $(#[$doc])*
        $visibility fn $name($($argument: $type),+) {
            #[allow(non_camel_case_types)]
            struct Arguments<$($argument),+> {
                $($argument: $argument),+
            }

            impl pulp::WithSimd for Arguments<$($type),+> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Self { $($argument),+ } = self;
                    $body
                }
            }

            pulp::Arch::new().dispatch(Arguments { $($argument),+ });
        }
    };
}
pub(crate) use vectorized;

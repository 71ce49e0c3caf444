import CKernels

/// A set of instructions that kernels exist for, slowest first.
package enum KernelLevel: Int32, Sendable, CaseIterable, Comparable {
    /// What any processor runs.
    case portable = 0
    /// x86-64 with AVX2, FMA and F16C.
    case avx2 = 1
    /// AVX-512 F, BW, DQ and VL.
    case avx512 = 2
    /// AVX-512 with dot products of int8 (VNNI) and, for matrix products, bfloat16.
    case vnni = 3
    /// The same and tile registers for products of int8 and bfloat16 (AMX).
    case amx = 4

    /// The best this machine has and lets this process use, or what `PRELOOP_KERNELS` lowers it to.
    package static var machine: KernelLevel {
        KernelLevel(rawValue: preloop_kernels_matrix_level()) ?? .portable
    }

    /// The level that a value of `PRELOOP_KERNELS` asks for; nil for a name that is none.
    package static func named(_ name: String) -> KernelLevel? {
        unsafe KernelLevel(rawValue: preloop_kernels_level_named(name))
    }

    /// The best set of vector instructions of this machine, whatever `PRELOOP_KERNELS` says; the
    /// most that kernels of the vector index run with.
    package static var processor: KernelLevel {
        KernelLevel(rawValue: preloop_kernels_processor_level()) ?? .portable
    }

    /// Whether products of bfloat16 exist; else float32 takes their place.
    package var hasBFloat16: Bool { self >= .vnni }

    /// Orders levels by speed.
    package static func < (left: KernelLevel, right: KernelLevel) -> Bool {
        left.rawValue < right.rawValue
    }
}

import CKernels

/// A set of instructions that kernels exist for, slowest first.
package enum KernelLevel: Int32, Sendable, CaseIterable, Comparable {
    /// What any processor runs.
    case portable = 0
    /// x86-64 with AVX2, FMA and F16C.
    case avx2 = 1
    /// AVX-512 F, BW, DQ and VL.
    case avx512 = 2
    /// AVX-512 with dot products of int8 (VNNI) and bfloat16.
    case vnni = 3

    /// The best this machine has, or what `PRELOOP_KERNELS` lowers it to.
    package static var machine: KernelLevel {
        KernelLevel(rawValue: preloop_kernels_level()) ?? .portable
    }

    /// Orders levels by speed.
    package static func < (left: KernelLevel, right: KernelLevel) -> Bool {
        left.rawValue < right.rawValue
    }
}

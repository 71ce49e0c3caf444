import Foundation
import LinearAlgebra
import Testing

/// `scripts/test` runs the tests of all that has kernels once for each level the machine has,
/// forced by `PRELOOP_KERNELS`; these make sure that it was.
@Suite struct KernelLevelTests {
    /// What this process was asked for; nil for the best.
    private static let asked = ProcessInfo.processInfo.environment["PRELOOP_KERNELS"]
        .flatMap { $0.isEmpty ? nil : $0 }

    /// The instructions that the system says the processor has.
    private static let flags: Set<String> = {
        let bytes = FileHandle(forReadingAtPath: "/proc/cpuinfo")?.readDataToEndOfFile() ?? Data()
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        let flags = lines.first { $0.hasPrefix("flags") } ?? ""
        return Set(flags.split(separator: " ").map(String.init))
    }()

    /// The vector instructions among them.
    private static let processor: KernelLevel = {
        if !flags.isSuperset(of: ["avx2", "fma", "f16c"]) { return .portable }
        if !flags.isSuperset(of: ["avx512f", "avx512bw", "avx512dq", "avx512vl"]) { return .avx2 }
        return flags.contains("avx512_vnni") ? .vnni : .avx512
    }()

    @Test func `the level that is asked for is in force, or the machine lacks it`() throws {
        let name = Self.asked ?? "amx"
        let asked = try #require(KernelLevel.named(name), "PRELOOP_KERNELS is `\(name)`")
        let expected = min(asked, Self.processor)
        #expect(KernelLevel.processor == Self.processor)
        #expect(CodeKernels.level.rawValue == expected.rawValue)
        #expect(NeuralKernels.level == min(expected, .avx512))
        // Products of matrices also need bfloat16, and may have tile registers.
        let hasBFloat16 = Self.flags.contains("avx512_bf16")
        let lowest = hasBFloat16 ? expected : min(expected, .avx512)
        #expect((lowest...max(lowest, asked)).contains(KernelLevel.machine))
        #expect(asked == .amx || KernelLevel.machine == lowest)
    }

    @Test func `the variable lowers all kernels`() async {
        await #expect(processExitsWith: .success) {
            setenv("PRELOOP_KERNELS", "portable", 1)
            precondition(KernelLevel.machine == .portable, "products")
            precondition(CodeKernels.level == .portable, "the index")
            precondition(NeuralKernels.level == .portable, "the encoder")
        }
    }

    /// It meant the best before, so that whoever wrote `AVX2` compared a level with itself.
    @Test func `an unknown name is known to be unknown and never means the best`() async {
        #expect(KernelLevel.named("AVX2") == nil && KernelLevel.named("") == nil)
        for level in KernelLevel.allCases { #expect(KernelLevel.named("\(level)") == level) }
        await #expect(processExitsWith: .success) {
            setenv("PRELOOP_KERNELS", "AVX2", 1)
            precondition(KernelLevel.machine == .portable, "an unknown name")
        }
        await #expect(processExitsWith: .success) {
            setenv("PRELOOP_KERNELS", "", 1)
            precondition(CodeKernels.level.rawValue == KernelLevel.processor.rawValue, "no name")
        }
    }
}

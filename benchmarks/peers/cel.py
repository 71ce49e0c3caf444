#!/usr/bin/env python3
"""Rounds per CPU second of two CEL engines from PyPI, called from Python, on the subjects of `preloop-bench cel`.

usage: cel.py [PRELOOP-BENCH]
needs: common-expression-language (the Rust crate, imported as `cel`) and cel-expr-python (cel-cpp)

With PRELOOP-BENCH, the program, it runs too and the ratios are printed. One JSON line each.
"""

import json
import subprocess
import sys
import time

import machine  # noqa: E402
from ten_rules import ARGUMENTS, RULES  # noqa: E402

# This file has the name of the package that is measured.
sys.path.pop(0)
import cel as rust  # noqa: E402
from cel_expr_python import cel as cpp  # noqa: E402

CONTAINS = "path.contains('passwd') || path.contains('shadow')"
PATH = "/home/user/project/Sources/Application/main.swift"


def best(body, rounds, runs=7):
    """Rounds a CPU second, the best of as many runs as ours get."""
    fastest = 0.0
    for _ in range(runs):
        start = time.process_time()
        for _ in range(rounds):
            body()
        fastest = max(fastest, rounds / (time.process_time() - start))
    return fastest


def rust_subjects():
    program = rust.compile(CONTAINS)
    context = rust.Context(variables={"path": PATH})
    assert program.execute(context) is False
    yield "contains", best(lambda: program.execute(context), 200_000)
    programs = [rust.compile(rule) for rule in RULES]

    def call():
        context = rust.Context(variables={"tool": "send_mail", "args": ARGUMENTS})
        return next(place for place, program in enumerate(programs) if program.execute(context))

    assert call() == len(RULES) - 1
    yield "policy", best(call, 5_000)


def cpp_subjects():
    environment = cpp.NewEnv(variables={"path": cpp.Type.STRING})
    program = environment.compile(CONTAINS)
    activation = environment.Activation({"path": PATH})
    assert program.eval(activation).value() is False
    yield "contains", best(lambda: program.eval(activation).value(), 100_000)
    environment = cpp.NewEnv(variables={"tool": cpp.Type.STRING, "args": cpp.Type.DYN})
    programs = [environment.compile(rule) for rule in RULES]

    def call():
        activation = environment.Activation({"tool": "send_mail", "args": ARGUMENTS})
        return next(place for place, program in enumerate(programs) if program.eval(activation).value())

    assert call() == len(RULES) - 1
    yield "policy", best(call, 5_000)


def main():
    rates = {}
    for engine, subjects, package in (("rust", rust_subjects, "common-expression-language"),
                                      ("cel-cpp", cpp_subjects, "cel-expr-python")):
        for subject, rate in subjects():
            rates[engine, subject] = rate
            print(json.dumps({"benchmark": "cel", "engine": engine, "subject": subject,
                              **machine.stamp(package), "per_cpu_s": round(rate)}), flush=True)
    if len(sys.argv) < 2:
        return
    for line in subprocess.run([sys.argv[1], "cel"], check=True, capture_output=True,
                               text=True).stdout.splitlines():
        print(line)
        ours = json.loads(line)
        for (engine, subject), rate in rates.items():
            if subject == ours["subject"]:
                print(json.dumps({"benchmark": "cel", "subject": subject, "peer": engine,
                                  "ratio": round(ours["per_cpu_s"] / rate, 1)}))


if __name__ == "__main__":
    main()

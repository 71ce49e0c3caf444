#!/usr/bin/env python3
"""Texts per CPU second of other engines with the same sentence model, one thread each.

usage: encode.py MODEL-DIRECTORY TEXTS.jsonl [ENGINE…]

ENGINE is one of onnxruntime, onnxruntime-int8, ctranslate2-int8, openvino-bf16; all of them when none
is named. Needs numpy, tokenizers and, for the engines, onnx, onnxruntime, ctranslate2, openvino from
PyPI. Each engine gets the weights from the directory's model.safetensors, in the form it runs fastest:
ONNX with the fused operators (attention, GELU, layer normalisation with residual), CTranslate2's own.

The texts are those that `preloop-bench encode` takes from the same file: one object with `text` and `kind` a line, all
of a kind of equal length in tokens, so that no peer needs a mask or pays for padding. They go in batches of 8, where
longer batches gained nothing. Tokenising counts. One JSON line an engine and kind.
"""

import json
import os
import struct
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
import numpy as np
from tokenizers import BertWordPieceTokenizer

import machine

HEADS, BATCH, PASSES = 12, 8, 30


def tensors(path):
    """The float32 tensors of a safetensors file by name."""
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        first, last = entry["data_offsets"]
        values = np.frombuffer(data, np.float32, (last - first) // 4, 8 + length + first)
        found[name.removeprefix("bert.")] = values.reshape(entry["shape"]).copy()
    return found


def texts_by_kind(path, tokenizer):
    """Kind, texts and their length in tokens, which all of a kind have."""
    kinds = {}
    with open(path) as file:
        for line in map(json.loads, file):
            kinds.setdefault(line["kind"], []).append(line["text"])
    for kind, texts in kinds.items():
        lengths = {len(encoding.ids) for encoding in tokenizer.encode_batch(texts)}
        if len(lengths) != 1:
            sys.exit(f"{path}: the {kind} have {min(lengths)} to {max(lengths)} tokens; all need as many")
        yield kind, texts, lengths.pop()


def onnx_model(weights, path):
    """Writes the encoder as ONNX with the operators onnxruntime fuses a BERT to."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, initializers = [], []

    def constant(name, value):
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(operator, inputs, output, **attributes):
        nodes.append(helper.make_node(operator, inputs, [output], domain=attributes.pop("domain", ""),
                                      **attributes))
        return output

    def norm(name):
        return [constant(name + kind, weights[name + kind]) for kind in (".weight", ".bias")]

    def dense(name, x, output):
        w = constant(name + ".weight", weights[name + ".weight"].T)
        return node("MatMul", [x, w], output)

    constant("words", weights["embeddings.word_embeddings.weight"])
    constant("places", weights["embeddings.position_embeddings.weight"])
    constant("type", weights["embeddings.token_type_embeddings.weight"][:1])
    constant("one", np.array([1], np.int64))
    node("Gather", ["words", "ids"], "word")
    node("Gather", ["places", "range"], "place")
    node("Add", ["place", "type"], "where")
    node("Add", ["word", "where"], "embedded")
    x = node("LayerNormalization", ["embedded", *norm("embeddings.LayerNorm")], "x0", epsilon=1e-12)
    layers = sum(name.endswith("attention.self.query.weight") for name in weights)
    for index in range(layers):
        at = f"encoder.layer.{index}."
        parts = [at + "attention.self." + part for part in ("query", "key", "value")]
        w = constant(at + "qkv", np.concatenate([weights[p + ".weight"].T for p in parts], 1))
        b = constant(at + "qkvb", np.concatenate([weights[p + ".bias"] for p in parts]))
        node("Attention", [x, w, b], at + "context", domain="com.microsoft", num_heads=HEADS)
        dense(at + "attention.output.dense", at + "context", at + "projected")
        b = constant(at + "ob", weights[at + "attention.output.dense.bias"])
        x = node("SkipLayerNormalization",
                 [at + "projected", x, *norm(at + "attention.output.LayerNorm"), b], at + "a",
                 domain="com.microsoft", epsilon=1e-12)
        dense(at + "intermediate.dense", x, at + "wide")
        b = constant(at + "ib", weights[at + "intermediate.dense.bias"])
        node("BiasGelu", [at + "wide", b], at + "g", domain="com.microsoft")
        dense(at + "output.dense", at + "g", at + "narrow")
        b = constant(at + "fb", weights[at + "output.dense.bias"])
        x = node("SkipLayerNormalization",
                 [at + "narrow", x, *norm(at + "output.LayerNorm"), b], at + "out",
                 domain="com.microsoft", epsilon=1e-12)
    node("ReduceMean", [x, "one"], "mean", keepdims=0)
    graph = helper.make_graph(
        nodes, "encoder", [helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "n"]),
                           helper.make_tensor_value_info("range", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("mean", TensorProto.FLOAT, ["b", 384])], initializers)
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)


def onnxruntime_engine(weights, directory, quantized):
    import onnxruntime

    path = directory + "/model.onnx"
    onnx_model(weights, path)
    if quantized:
        from onnxruntime.quantization import QuantType, quantize_dynamic
        quantize_dynamic(path, directory + "/int8.onnx", weight_type=QuantType.QInt8, per_channel=True,
                         extra_options={"DefaultTensorType": 1})
        path = directory + "/int8.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids: session.run(["mean"], {"ids": ids, "range": np.arange(ids.shape[1])})[0]


def openvino_engine(weights, directory):
    import openvino

    onnx_model(weights, directory + "/model.onnx")
    core = openvino.Core()
    model = core.compile_model(directory + "/model.onnx", "CPU", {
        "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "bf16", "NUM_STREAMS": 1})
    return lambda ids: model([ids, np.arange(ids.shape[1])])[model.output(0)]


def ctranslate2_engine(weights, directory):
    import ctranslate2
    from ctranslate2.specs import common_spec, transformer_spec

    layers = sum(name.endswith("attention.self.query.weight") for name in weights)
    encoder = transformer_spec.TransformerEncoderSpec(
        layers, HEADS, pre_norm=False, activation=common_spec.Activation.GELU,
        layernorm_embedding=True, num_source_embeddings=2,
        embeddings_merge=common_spec.EmbeddingsMerge.ADD)
    spec = transformer_spec.TransformerEncoderModelSpec(encoder)
    encoder.scale_embeddings = False

    def linear(target, *names):
        target.weight = np.concatenate([weights[name + ".weight"] for name in names])
        target.bias = np.concatenate([weights[name + ".bias"] for name in names])

    def norm(target, name):
        target.gamma, target.beta = weights[name + ".weight"], weights[name + ".bias"]

    encoder.embeddings[0].weight = weights["embeddings.word_embeddings.weight"]
    encoder.embeddings[1].weight = weights["embeddings.token_type_embeddings.weight"]
    encoder.position_encodings.encodings = weights["embeddings.position_embeddings.weight"]
    norm(encoder.layernorm_embedding, "embeddings.LayerNorm")
    for index, layer in enumerate(encoder.layer):
        at = f"encoder.layer.{index}."
        linear(layer.self_attention.linear[0],
               *(at + "attention.self." + part for part in ("query", "key", "value")))
        linear(layer.self_attention.linear[1], at + "attention.output.dense")
        norm(layer.self_attention.layer_norm, at + "attention.output.LayerNorm")
        linear(layer.ffn.linear_0, at + "intermediate.dense")
        linear(layer.ffn.linear_1, at + "output.dense")
        norm(layer.ffn.layer_norm, at + "output.LayerNorm")
    size = len(weights["embeddings.word_embeddings.weight"])
    spec.register_vocabulary([f"t{index}" for index in range(size)])
    spec.config.unk_token = "t100"
    spec.config.layer_norm_epsilon = 1e-12
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(directory)
    model = ctranslate2.Encoder(directory, compute_type="int8", intra_threads=1, inter_threads=1)

    def run(ids):
        result = model.forward_batch(ids.tolist())
        return np.asarray(result.last_hidden_state).mean(1)

    return run


def measure(run, tokenizer, texts, passes=PASSES):
    """Texts per CPU second, the best of thirty short passes: a busy neighbour slows the others. And all passes, ms."""
    best, walls = 0, []
    for _ in range(passes):
        start, wall = time.process_time(), time.perf_counter()
        for first in range(0, len(texts), BATCH):
            encodings = tokenizer.encode_batch(texts[first:first + BATCH])
            run(np.array([encoding.ids for encoding in encodings], np.int64))
        best = max(best, len(texts) / (time.process_time() - start))
        walls.append((time.perf_counter() - wall) * 1e3)
    return best, np.array(walls)


def main():
    arguments = sys.argv[1:]
    if len(arguments) < 2:
        sys.exit(__doc__)
    (model, path), wanted = arguments[:2], arguments[2:]
    weights = tensors(model + "/model.safetensors")
    tokenizer = BertWordPieceTokenizer(model + "/vocab.txt", lowercase=True)
    engines = {
        "onnxruntime": lambda directory: onnxruntime_engine(weights, directory, False),
        "onnxruntime-int8": lambda directory: onnxruntime_engine(weights, directory, True),
        "ctranslate2-int8": lambda directory: ctranslate2_engine(weights, directory),
        "openvino-bf16": lambda directory: openvino_engine(weights, directory),
    }
    for name in wanted or engines:
        with tempfile.TemporaryDirectory() as directory:
            run = engines[name](directory)
            for kind, texts, tokens in texts_by_kind(path, tokenizer):
                measure(run, tokenizer, texts, passes=1)
                rate, walls = measure(run, tokenizer, texts)
                engine, _, precision = name.partition("-")
                print(json.dumps({"benchmark": "encode", "engine": engine, "precision": precision or "float32",
                                  **machine.stamp(engine), "data": os.path.basename(path), "texts": kind,
                                  "count": len(texts), "tokens": tokens, "workers": 1,
                                  "texts_per_cpu_s": round(rate, 1),
                                  "pass_p50_ms": round(float(np.percentile(walls, 50)), 1),
                                  "pass_p99_ms": round(float(np.percentile(walls, 99)), 1)}), flush=True)


if __name__ == "__main__":
    main()

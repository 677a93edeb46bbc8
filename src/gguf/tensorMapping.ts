/**
 * Maps parameters of clm to tensors of GGUF. Both families store matrices as (outputs, inputs), where clm has (inputs,
 * outputs); queries, keys and values, which clm keeps side by side in one matrix, are three tensors, but one for GPT-2.
 */
import type { TensorMapping, MappedTensor } from '../huggingface/tensorMapping.ts';
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { rotatesNeighbours, type Architecture } from './architectures.ts';

/** A tensor of GGUF, and what is special about the order of its rows. */
export interface GgufTensor extends MappedTensor {
  /** Heads whose rows are in the order of llama.cpp's rotation, see `interleaved`; null if all rows are as in clm. */
  interleavedHeads: number | null;
}

export interface GgufMapping extends TensorMapping {
  tensors: GgufTensor[];
}

export function mappingOf(parameter: ParameterSpec, model: ModelConfig, architecture: Architecture): GgufMapping {
  const whole = (name: string): GgufTensor[] => [
    { name, startColumn: 0, columns: parameter.shape.at(-1)!, interleavedHeads: null },
  ];
  const match = /^blocks\.(\d+)\.(.+)\.(weight|bias|gain)$/.exec(parameter.name);
  if (!match) return { parameter, tensors: whole(namesOutside[parameter.name]!), transposed: false };
  const [layer, part, leaf] = match.slice(1) as [string, string, string];
  const nameOf = (inside: string): string => `blk.${layer}.${inside}.${leaf === 'bias' ? 'bias' : 'weight'}`;
  const transposed = parameter.shape.length === 2;
  if (part !== 'attention.queryKeyValue' || architecture === 'gpt2')
    return { parameter, tensors: whole(nameOf(namesInside[part]!)), transposed };
  const [query, keyValue] = [model.heads * model.headSize, model.keyValueHeads * model.headSize];
  const heads = (count: number): number | null => (rotatesNeighbours(architecture) ? count : null);
  return {
    parameter,
    tensors: [
      { name: nameOf('attn_q'), startColumn: 0, columns: query, interleavedHeads: heads(model.heads) },
      { name: nameOf('attn_k'), startColumn: query, columns: keyValue, interleavedHeads: heads(model.keyValueHeads) },
      { name: nameOf('attn_v'), startColumn: query + keyValue, columns: keyValue, interleavedHeads: null },
    ],
    transposed,
  };
}

/**
 * The rows of each head in the order that llama.cpp's rotation of neighbours expects: rows i and i + D/2, which clm
 * rotates together, become neighbours. With `back` from there to clm's order.
 *
 * @param values of a tensor (heads · D, inputs), or of a bias (heads · D)
 */
export function interleaved(values: Float32Array, rows: number, heads: number, back = false): Float32Array {
  const length = values.length / rows;
  const half = rows / heads / 2;
  const result = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    const inHead = row % (2 * half);
    const other = row - inHead + (inHead % half) * 2 + Math.floor(inHead / half);
    const [from, to] = back ? [other, row] : [row, other];
    result.set(values.subarray(from * length, (from + 1) * length), to * length);
  }
  return result;
}

/** The factors of llama3's scaling, by which llama.cpp divides the frequencies; (D/2). */
export const factorsTensor = 'rope_freqs.weight';

const namesOutside: Readonly<Record<string, string>> = {
  'embedding.tokens': 'token_embd.weight',
  'embedding.positions': 'position_embd.weight',
  'finalNorm.gain': 'output_norm.weight',
  'finalNorm.bias': 'output_norm.bias',
  'head.weight': 'output.weight',
};

const namesInside: Readonly<Record<string, string>> = {
  attentionNorm: 'attn_norm',
  'attention.queryKeyValue': 'attn_qkv',
  'attention.queryNorm': 'attn_q_norm',
  'attention.keyNorm': 'attn_k_norm',
  'attention.output': 'attn_output',
  feedForwardNorm: 'ffn_norm',
  'feedForward.gate': 'ffn_gate',
  'feedForward.up': 'ffn_up',
  'feedForward.down': 'ffn_down',
};

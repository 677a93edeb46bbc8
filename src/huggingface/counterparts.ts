/**
 * Which tensors of a Hugging Face file make one parameter of clm. GPT-2's matrices are (inputs, outputs) in both;
 * the others' are (outputs, inputs) there and are turned, and queries, keys and values, which lie side by side in
 * clm, are three tensors there.
 */
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { elementCount } from '../tensors/tensors.ts';

/** One tensor there, and which columns (outputs) of the parameter it is. */
export interface Part {
  name: string;
  startColumn: number;
  columns: number;
}

export interface Counterpart {
  parameter: ParameterSpec;
  parts: Part[];
  /** Whether the tensors there are (outputs, inputs). */
  turned: boolean;
}

/** The counterpart of a parameter, named as transformers saves an …ForCausalLM. */
export function counterpartOf(parameter: ParameterSpec, model: ModelConfig): Counterpart {
  const columns = parameter.shape.at(-1)!;
  const isMatrix = parameter.shape.length === 2;
  const whole = (name: string): Part[] => [{ name, startColumn: 0, columns }];
  const match = /^blocks\.(\d+)\.(.+)\.(weight|bias|gain)$/.exec(parameter.name);
  const names = model.family === 'gpt2' ? gpt2Names : llamaNames;
  if (!match) return { parameter, parts: whole(names.outside[parameter.name]!), turned: false };
  const [, layer, part, leaf] = match as unknown as [string, string, string, string];
  const suffix = leaf === 'bias' ? 'bias' : 'weight';
  if (model.family === 'llama' && part === 'attention.queryKeyValue') {
    const [query, keyValue] = [model.heads * model.headSize, model.keyValueHeads * model.headSize];
    const part = (name: string, startColumn: number, width: number): Part => ({
      name: `model.layers.${layer}.self_attn.${name}_proj.${suffix}`,
      startColumn,
      columns: width,
    });
    return {
      parameter,
      parts: [part('q', 0, query), part('k', query, keyValue), part('v', query + keyValue, keyValue)],
      turned: isMatrix,
    };
  }
  return {
    parameter,
    parts: whole(`${names.block(layer)}.${names.inside[part]!}.${suffix}`),
    turned: isMatrix && model.family === 'llama',
  };
}

/** The shape of one of a counterpart's tensors in the file. */
export function partShape({ parameter: { shape }, turned }: Counterpart, { columns }: Part): number[] {
  if (shape.length === 1) return [columns];
  return turned ? [columns, shape[0]!] : [shape[0]!, columns];
}

/** The parameter's values, of its tensors' values in the order of the parts. */
export async function assembled(
  counterpart: Counterpart,
  read: (part: Part) => Promise<Float32Array>,
): Promise<Float32Array> {
  const { parameter, parts, turned } = counterpart;
  if (parts.length === 1 && !turned) return read(parts[0]!);
  const [rows, columns] = rowsAndColumns(parameter);
  const values = new Float32Array(elementCount(parameter.shape));
  for (const part of parts) {
    const source = await read(part);
    for (let row = 0; row < rows; row++) {
      const target = row * columns + part.startColumn;
      for (let column = 0; column < part.columns; column++) {
        values[target + column] = source[turned ? column * rows + row : row * part.columns + column]!;
      }
    }
  }
  return values;
}

/** The values of one tensor of the file, of the parameter's. */
export function disassembled({ parameter, turned }: Counterpart, part: Part, values: Float32Array): Float32Array {
  const [rows, columns] = rowsAndColumns(parameter);
  if (part.columns === columns && !turned) return values;
  const target = new Float32Array(rows * part.columns);
  for (let row = 0; row < rows; row++) {
    const source = row * columns + part.startColumn;
    for (let column = 0; column < part.columns; column++) {
      target[turned ? column * rows + row : row * part.columns + column] = values[source + column]!;
    }
  }
  return target;
}

const rowsAndColumns = ({ shape }: ParameterSpec): [number, number] =>
  shape.length === 1 ? [1, shape[0]!] : [shape[0]!, shape[1]!];

interface Names {
  outside: Readonly<Record<string, string>>;
  block: (layer: string) => string;
  inside: Readonly<Record<string, string>>;
}

const gpt2Names: Names = {
  outside: {
    'embedding.tokens': 'transformer.wte.weight',
    'embedding.positions': 'transformer.wpe.weight',
    'finalNorm.gain': 'transformer.ln_f.weight',
    'finalNorm.bias': 'transformer.ln_f.bias',
    'head.weight': 'lm_head.weight',
  },
  block: (layer) => `transformer.h.${layer}`,
  inside: {
    attentionNorm: 'ln_1',
    'attention.queryKeyValue': 'attn.c_attn',
    'attention.output': 'attn.c_proj',
    feedForwardNorm: 'ln_2',
    'feedForward.up': 'mlp.c_fc',
    'feedForward.down': 'mlp.c_proj',
  },
};

const llamaNames: Names = {
  outside: {
    'embedding.tokens': 'model.embed_tokens.weight',
    'finalNorm.gain': 'model.norm.weight',
    'head.weight': 'lm_head.weight',
  },
  block: (layer) => `model.layers.${layer}`,
  inside: {
    attentionNorm: 'input_layernorm',
    'attention.queryNorm': 'self_attn.q_norm',
    'attention.keyNorm': 'self_attn.k_norm',
    'attention.output': 'self_attn.o_proj',
    feedForwardNorm: 'post_attention_layernorm',
    'feedForward.gate': 'mlp.gate_proj',
    'feedForward.up': 'mlp.up_proj',
    'feedForward.down': 'mlp.down_proj',
  },
};

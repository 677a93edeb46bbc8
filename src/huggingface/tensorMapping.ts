/**
 * Maps parameters of clm to tensors of Hugging Face. GPT-2 stores matrices as (inputs, outputs), like clm; the other
 * models store (outputs, inputs), and their queries, keys and values are three tensors, which clm keeps side by side in
 * one matrix.
 */
import type { ModelConfig, ParameterSpec } from '../model/parameters.ts';
import { elementCount } from '../tensors/tensors.ts';

/** A tensor of Hugging Face and the columns (outputs) of the parameter that it holds. */
export interface MappedTensor {
  name: string;
  startColumn: number;
  columns: number;
}

export interface TensorMapping {
  parameter: ParameterSpec;
  /** In the order of their columns. */
  tensors: MappedTensor[];
  /** Whether the tensors are (outputs, inputs). */
  transposed: boolean;
}

/** The tensors of a parameter, named as transformers saves an …ForCausalLM. */
export function mappingOf(parameter: ParameterSpec, model: ModelConfig): TensorMapping {
  const columns = parameter.shape.at(-1)!;
  const isMatrix = parameter.shape.length === 2;
  const whole = (name: string): MappedTensor[] => [{ name, startColumn: 0, columns }];
  const match = /^blocks\.(\d+)\.(.+)\.(weight|bias|gain)$/.exec(parameter.name);
  const names = model.family === 'gpt2' ? gpt2Names : llamaNames;
  if (!match) return { parameter, tensors: whole(names.outside[parameter.name]!), transposed: false };
  const [layer, part, leaf] = match.slice(1) as [string, string, string];
  const suffix = leaf === 'bias' ? 'bias' : 'weight';
  if (model.family === 'llama' && part === 'attention.queryKeyValue') {
    const [query, keyValue] = [model.heads * model.headSize, model.keyValueHeads * model.headSize];
    const projection = (name: string, startColumn: number, width: number): MappedTensor => ({
      name: `model.layers.${layer}.self_attn.${name}_proj.${suffix}`,
      startColumn,
      columns: width,
    });
    return {
      parameter,
      tensors: [
        projection('q', 0, query),
        projection('k', query, keyValue),
        projection('v', query + keyValue, keyValue),
      ],
      transposed: isMatrix,
    };
  }
  return {
    parameter,
    tensors: whole(`${names.block(layer)}.${names.inside[part]!}.${suffix}`),
    transposed: isMatrix && model.family === 'llama',
  };
}

/** The shape of a tensor in the file. */
export function tensorShape({ parameter: { shape }, transposed }: TensorMapping, { columns }: MappedTensor): number[] {
  if (shape.length === 1) return [columns];
  return transposed ? [columns, shape[0]!] : [shape[0]!, columns];
}

/** The values of a parameter, from those of its tensors. */
export async function parameterFromTensors(
  mapping: TensorMapping,
  read: (tensor: MappedTensor) => Promise<Float32Array>,
): Promise<Float32Array> {
  const { parameter, tensors, transposed } = mapping;
  if (tensors.length === 1 && !transposed) return read(tensors[0]!);
  const [rows, columns] = rowsAndColumns(parameter);
  const values = new Float32Array(elementCount(parameter.shape));
  for (const tensor of tensors) {
    const source = await read(tensor);
    for (let row = 0; row < rows; row++) {
      const target = row * columns + tensor.startColumn;
      for (let column = 0; column < tensor.columns; column++) {
        values[target + column] = source[transposed ? column * rows + row : row * tensor.columns + column]!;
      }
    }
  }
  return values;
}

/** The values of one tensor, from those of its parameter. */
export function tensorFromParameter(
  { parameter, transposed }: TensorMapping,
  tensor: MappedTensor,
  values: Float32Array,
): Float32Array {
  const [rows, columns] = rowsAndColumns(parameter);
  if (tensor.columns === columns && !transposed) return values;
  const target = new Float32Array(rows * tensor.columns);
  for (let row = 0; row < rows; row++) {
    const source = row * columns + tensor.startColumn;
    for (let column = 0; column < tensor.columns; column++) {
      target[transposed ? column * rows + row : row * tensor.columns + column] = values[source + column]!;
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

/**
 * The element types of GGUF tensors, named as in ggml. Quantised types store blocks of a row's values side by side: the
 * scale, then a few bits per value. Numbers and sizes: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
 */

interface GgmlType {
  /** The type's number in the file. */
  id: number;
  /** Consecutive values of a row that are stored together; rows are whole blocks. */
  blockValues: number;
  blockBytes: number;
}

/** The types that clm reads. */
export const ggmlTypes = {
  F32: { id: 0, blockValues: 1, blockBytes: 4 },
  F16: { id: 1, blockValues: 1, blockBytes: 2 },
  BF16: { id: 30, blockValues: 1, blockBytes: 2 },
  Q8_0: { id: 8, blockValues: 32, blockBytes: 34 },
  Q4_0: { id: 2, blockValues: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockValues: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockValues: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockValues: 32, blockBytes: 24 },
  Q4_K: { id: 12, blockValues: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockValues: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockValues: 256, blockBytes: 210 },
} as const satisfies Record<string, GgmlType>;

export type GgmlTypeName = keyof typeof ggmlTypes;
export const ggmlTypeNames = Object.keys(ggmlTypes) as readonly GgmlTypeName[];

const nameOfId = new Map<number, GgmlTypeName>(ggmlTypeNames.map((name) => [ggmlTypes[name].id, name]));

/** The type of this number; undefined for one that clm does not read. */
export const ggmlTypeOf = (id: number): GgmlTypeName | undefined => nameOfId.get(id);

/** Types that clm does not read, for messages. */
const otherNames: Readonly<Record<number, string>> = {
  ...{ 9: 'Q8_1', 10: 'Q2_K', 11: 'Q3_K', 15: 'Q8_K', 16: 'IQ2_XXS', 17: 'IQ2_XS', 18: 'IQ3_XXS', 19: 'IQ1_S' },
  ...{ 20: 'IQ4_NL', 21: 'IQ3_S', 22: 'IQ2_S', 23: 'IQ4_XS', 24: 'I8', 25: 'I16', 26: 'I32', 27: 'I64', 28: 'F64' },
  ...{ 29: 'IQ1_M', 34: 'TQ1_0', 35: 'TQ2_0', 39: 'MXFP4', 40: 'NVFP4' },
};

export const nameOfType = (id: number): string => nameOfId.get(id) ?? otherNames[id] ?? `number ${id}`;

/** Bytes of `values` values in whole blocks. */
export function bytesOfValues(type: GgmlTypeName, values: number): number {
  const { blockValues, blockBytes } = ggmlTypes[type];
  return (values / blockValues) * blockBytes;
}

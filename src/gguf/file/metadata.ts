/** Metadata of a GGUF file: keys with values of a type, e.g. `llama.block_count`, a uint32. */

/** Value types by their number in the file. */
export const valueTypes = [
  'uint8',
  'int8',
  'uint16',
  'int16',
  'uint32',
  'int32',
  'float32',
  'bool',
  'string',
  'array',
  'uint64',
  'int64',
  'float64',
] as const;
export type ValueType = (typeof valueTypes)[number];
export type ItemType = Exclude<ValueType, 'array'>;

/** Bytes of a value; of a string those of its length. */
export const valueBytes: Readonly<Record<ItemType, number>> = {
  ...{ uint8: 1, int8: 1, bool: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4 },
  ...{ string: 8, uint64: 8, int64: 8, float64: 8 },
};

type Value = number | boolean | string;

/** A value, or a list of values of one type. Integers of 64 bits are safe integers. */
export type MetadataValue = { type: ItemType; value: Value } | { type: 'array'; items: ItemType; value: Value[] };

export type Metadata = ReadonlyMap<string, MetadataValue>;

/** Values as the writer takes them. */
export const uint32 = (value: number): MetadataValue => ({ type: 'uint32', value });
export const float32 = (value: number): MetadataValue => ({ type: 'float32', value });
export const bool = (value: boolean): MetadataValue => ({ type: 'bool', value });
export const text = (value: string): MetadataValue => ({ type: 'string', value });
export const list = (items: ItemType, value: Value[]): MetadataValue => ({ type: 'array', items, value });

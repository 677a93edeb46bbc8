/**
 * The part of TensorFlow's C API that clm uses (tensorflow/c/c_api.h), through koffi, from the same shared library that
 * tfjs-node is linked to.
 */
import path from 'node:path';
import { askForHugePages, copyMemory, koffi, type CFunction, type Pointer } from './libc.ts';

/** One output of a graph operation: TF_Output. */
export interface Output {
  oper: Pointer;
  index: number;
}

const declarations = [
  'const char* TF_Version()',
  'void* TF_NewStatus()',
  'void TF_DeleteStatus(void*)',
  'int TF_GetCode(void*)',
  'const char* TF_Message(void*)',
  'void* TF_NewGraph()',
  'void TF_DeleteGraph(void*)',
  'void* TF_NewOperation(void*, const char*, const char*)',
  'void TF_AddInput(void*, TF_Output)',
  'void TF_AddInputList(void*, TF_Output*, int)',
  'void TF_AddControlInput(void*, void*)',
  'void TF_SetAttrType(void*, const char*, int)',
  'void TF_SetAttrInt(void*, const char*, int64_t)',
  'void TF_SetAttrIntList(void*, const char*, int64_t*, int)',
  'void TF_SetAttrBool(void*, const char*, uint8_t)',
  'void TF_SetAttrFloat(void*, const char*, float)',
  'void TF_SetAttrString(void*, const char*, const void*, size_t)',
  'void TF_SetAttrShape(void*, const char*, int64_t*, int)',
  'void TF_SetAttrTensor(void*, const char*, void*, void*)',
  'void* TF_FinishOperation(void*, void*)',
  'int TF_OperationOutputType(TF_Output)',
  'int TF_GraphGetTensorNumDims(void*, TF_Output, void*)',
  'void TF_GraphGetTensorShape(void*, TF_Output, _Out_ int64_t*, int, void*)',
  'void* TF_AllocateTensor(int, int64_t*, int, size_t)',
  'void* TF_NewTensor(int, int64_t*, int, const void*, size_t, void*, void*)',
  'void* TF_TensorData(void*)',
  'size_t TF_TensorByteSize(void*)',
  'void TF_DeleteTensor(void*)',
  'void* TF_NewSessionOptions()',
  'void TF_DeleteSessionOptions(void*)',
  'void TF_SetTarget(void*, const char*)',
  'void TF_SetConfig(void*, const void*, size_t, void*)',
  'void* TF_NewSession(void*, void*, void*)',
  'void TF_CloseSession(void*, void*)',
  'void TF_DeleteSession(void*, void*)',
  'void* TF_NewServer(const void*, size_t, void*)',
  'void TF_ServerStart(void*, void*)',
  'const char* TF_ServerTarget(void*)',
  'void* TF_NewBuffer()',
  'void* TF_NewBufferFromString(const void*, size_t)',
  'void TF_DeleteBuffer(void*)',
  'TF_Buffer TF_GetBuffer(void*)',
  'void TF_SessionRun(void*, void*, TF_Output*, void**, int, TF_Output*, _Out_ void**, int, void**, int, void*, void*)',
] as const;

type FunctionName<D extends string> = D extends `${string} TF_${infer Rest}(${string}` ? `TF_${Rest}` : never;

/** The C functions by name. */
export type CApi = Record<FunctionName<(typeof declarations)[number]>, CFunction>;

let loaded: CApi | undefined;

/**
 * Loads the C API from the libraries beside which tfjs-node's binding was linked. The binding must be
 * in the process already: without it libtensorflow crashes at exit (status 139).
 */
export function loadCApi(libraryDirectory: string, extension: 'so' | 'dylib'): CApi {
  if (loaded) return loaded;
  const file = (name: string) => path.join(libraryDirectory, extension === 'so' ? `${name}.so.2` : `${name}.2.dylib`);
  koffi().load(file('libtensorflow_framework'), { global: true });
  const library = koffi().load(file('libtensorflow_cc'));
  koffi().struct('TF_Output', { oper: 'void *', index: 'int' });
  koffi().struct('TF_Buffer', { data: 'const void *', length: 'size_t', deallocator: 'void *' });
  loaded = Object.fromEntries(
    declarations.map((declaration) => [/TF_\w+(?=\()/.exec(declaration)?.[0], library.func(declaration)]),
  ) as CApi;
  return loaded;
}

/** Calls `body` with a fresh TF_Status (one per call in flight) and throws its message, prefixed by `what`. */
export function withStatus<T>(c: CApi, what: string, body: (status: Pointer) => T): T {
  const status: Pointer = c.TF_NewStatus();
  try {
    const result = body(status);
    throwOnError(c, status, what);
    return result;
  } finally {
    c.TF_DeleteStatus(status);
  }
}

/** Throws the message that a finished call left in its status, if it failed. */
export function throwOnError(c: CApi, status: Pointer, what: string): void {
  if (c.TF_GetCode(status) !== 0) throw new Error(`${what}: ${c.TF_Message(status)}`);
}

/** A shape or list of integers as C's int64_t*. */
export const int64s = (values: readonly number[]): BigInt64Array => BigInt64Array.from(values, BigInt);

/** Tensors from this size on ask for huge pages: with 4 MB, a token of 126M bfloat16 weights takes 4 % longer. */
const largeBytes = 1e6;

/** A new TF_Tensor whose values are yet to be written; the caller deletes it. */
export function emptyTensor(c: CApi, shape: readonly number[], dataType: number, bytes: number): Pointer {
  const tensor: Pointer = c.TF_AllocateTensor(dataType, int64s(shape), shape.length, bytes);
  if (bytes >= largeBytes) askForHugePages(c.TF_TensorData(tensor), bytes);
  return tensor;
}

/** A new TF_Tensor holding a copy of `values`; the caller deletes it. */
export function newTensor(c: CApi, shape: readonly number[], dataType: number, values: ArrayBufferView): Pointer {
  const tensor = emptyTensor(c, shape, dataType, values.byteLength);
  setTensor(c, tensor, values);
  return tensor;
}

/** Replaces all values of a tensor. */
export function setTensor(c: CApi, tensor: Pointer, values: ArrayBufferView): void {
  if (values.byteLength > 0) copyMemory(c.TF_TensorData(tensor), values, values.byteLength);
}

/**
 * A new TF_Tensor of values that stay where they are, unless TensorFlow copies them because they do not begin at a
 * multiple of 64 bytes. The caller deletes it.
 *
 * @param release C's void (*)(void*, size_t, void*), called once the tensor no longer needs the values
 */
export const tensorInPlace = (
  c: CApi,
  shape: readonly number[],
  dataType: number,
  values: ArrayBufferView,
  release: Pointer,
): Pointer => c.TF_NewTensor(dataType, int64s(shape), shape.length, values, values.byteLength, release, null);

/** A copy of a float32 TF_Tensor's values. */
export function tensorValues(c: CApi, tensor: Pointer): Float32Array {
  const byteLength = Number(c.TF_TensorByteSize(tensor));
  const values = new Float32Array(byteLength / 4);
  if (byteLength > 0) copyMemory(values, c.TF_TensorData(tensor), byteLength);
  return values;
}

/** A copy of a TF_Buffer's bytes. */
export function bufferBytes(c: CApi, buffer: Pointer): Uint8Array {
  const { data, length } = c.TF_GetBuffer(buffer) as { data: Pointer; length: number };
  return length === 0 ? new Uint8Array(0) : new Uint8Array(koffi().view(data, length)).slice();
}

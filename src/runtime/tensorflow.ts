/**
 * Loads tfjs-node on the libtensorflow that is installed, once a process, and returns its backend. Environment
 * variables that must be set before the library is loaded are set here.
 */
import { createRequire } from 'node:module';
import { isMainThread } from 'node:worker_threads';
import { engine, registerBackend, setBackend, type KernelBackend, type Tensor } from '../tfjs.ts';
import { environmentFailure, wrongInput } from '../errors.ts';
import { attributeTypes, dataTypes, type Attribute, type Bfloat16Use, type Binding } from './binding.ts';
import { loadCApi, type CApi } from './capi.ts';
import type { UsableInstallation } from './installation/installation.ts';
import { notices } from './installation/notices.ts';
import { readInstallation } from './installation/readInstallation.ts';
import { loadKernels, type Kernels } from './kernelLibrary.ts';
import { withQuietStderr } from './libc.ts';

/** The parts of tfjs-node's backend that clm relies on. */
export interface TensorFlowBackend {
  binding: Binding;
  getInputTensorIds(tensors: readonly Tensor[]): number[];
  createOutputTensor(handle: { id: number; dtype: number; shape: number[] }): Tensor;
  isUsingGpuDevice: boolean;
}

export interface TensorFlow {
  /** tfjs-node's own binding: operations run at once. */
  eagerBinding: Binding & { getNumOfTensors(): number };
  backend: TensorFlowBackend;
  c: CApi;
  version: string;
  device: 'cpu' | 'cuda';
  /** Why this device was chosen, as a readable message. */
  deviceReason: string;
  /** The kernels of clm's that can be used. */
  kernels: Kernels;
}

interface TfjsNode {
  /** @param packageName tfjs-node-gpu's, for a backend that uses a GPU if there is one */
  NodeJSKernelBackend: new (
    binding: unknown,
    packageName: string,
  ) => KernelBackend;
}

export type DeviceChoice = 'auto' | 'cpu' | 'cuda';

let loaded: TensorFlow | undefined;

/**
 * The TensorFlow of this process. The device is fixed by the first call: a later one with another
 * choice is refused, because the library reads it only while it is being loaded.
 *
 * @throws environment failure if the set-up has not run, or `cuda` is asked for and there is no GPU; wrong input in a
 *   worker thread, or for another device
 */
export function loadTensorFlow(choice: DeviceChoice = 'auto'): TensorFlow {
  if (loaded) {
    if (choice !== 'auto' && choice !== loaded.device) {
      throw wrongInput(`device ${choice}: TensorFlow already runs on ${loaded.device} in this process.`);
    }
    return loaded;
  }
  if (!isMainThread) throw wrongInput('TensorFlow runs in the main thread of a process only, not in worker threads.');
  const installation = readInstallation();
  if (choice === 'cuda' && installation.device !== 'cuda') {
    throw environmentFailure(
      `device cuda: the installed libtensorflow is for the CPU only; ${installation.cudaRemedy}.`,
    );
  }
  if (choice === 'auto' && installation.warning !== undefined) notices.warn(installation.warning);
  setEnvironment(choice === 'auto' ? installation.device : choice);
  // Kernels register themselves with messages that no log level stops, because it is read after them.
  const opened = wantsTensorFlowLog() ? load(installation) : withQuietStderr(() => load(installation));
  const usesGpu = opened.backend.isUsingGpuDevice;
  const wanted = choice === 'auto' ? installation.device : choice;
  if (wanted === 'cuda' && !usesGpu) {
    throw environmentFailure(
      'libtensorflow found no usable GPU. Check with nvidia-smi that the NVIDIA driver is loaded, or use --device cpu.',
    );
  }
  opened.device = usesGpu ? 'cuda' : 'cpu';
  if (opened.device === 'cpu') opened.kernels = loadKernels(installation);
  opened.deviceReason = choice === 'auto' ? installation.why : `asked for (device: ${choice})`;
  loaded = opened; // only now: whoever comes after a failure meets it again
  return loaded;
}

/** The TensorFlow already loaded. @throws if no session was opened before: a bug */
export function loadedTensorFlow(): TensorFlow {
  if (!loaded) throw new Error('TensorFlow is used before a session was opened');
  return loaded;
}

/** An input of an operation: a tensor, or the value of a variable that is kept in another type than float32. */
export type OperationInput = Tensor | { readonly valueId: number };

/** Runs (or records) an operation of TensorFlow or of clm's kernels by its name; not differentiable. */
export function executeOperation(
  name: string,
  attributes: Attribute[],
  inputs: readonly OperationInput[],
  outputs: number,
  bfloat16?: Bfloat16Use,
): Tensor[] {
  const { backend } = loadedTensorFlow();
  const ids = inputs.flatMap((input) => ('valueId' in input ? input.valueId : backend.getInputTensorIds([input])));
  const handles = backend.binding.executeOp(name, attributes, ids, outputs, bfloat16);
  return handles.map((handle) => backend.createOutputTensor(handle));
}

/** An operation with one output. */
export const executeOne = (name: string, attributes: Attribute[], inputs: readonly OperationInput[]): Tensor =>
  executeOperation(name, attributes, inputs, 1)[0]!;

/** Whose operations compute, for people and for comparing runs: each choice rounds in its own way. */
export const operationsOf = ({ kernels }: Pick<TensorFlow, 'kernels'>): string =>
  ({ none: "TensorFlow's", vectors: "clm's", tiles: "clm's, products on the tile unit" })[kernels];

/** Are TensorFlow's own messages wanted (CLM_TENSORFLOW_LOG=1)? */
const wantsTensorFlowLog = () => process.env['CLM_TENSORFLOW_LOG'] === '1';

function setEnvironment(device: 'cpu' | 'cuda'): void {
  if (!wantsTensorFlowLog()) process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '3'; // failures reach us as exceptions anyway
  if (device === 'cpu') process.env['CUDA_VISIBLE_DEVICES'] = '-1';
  // Lets a session have threads of its own, see sessionConfig in graph.ts.
  process.env['TF_OVERRIDE_GLOBAL_THREADPOOL'] ??= '1';
  // The eager context and the session are two contexts in one process and would fight over the memory.
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
}

function load(installation: UsableInstallation): TensorFlow {
  const load = createRequire(import.meta.url);
  try {
    const binding: unknown = load(installation.bindingPath);
    // Made by the set-up (scripts/setup/tfjs). It is two folders above this file, in src as in dist.
    const { NodeJSKernelBackend } = load('../../dist/vendor/tfjs-node.cjs') as TfjsNode;
    registerBackend('tensorflow', () => new NodeJSKernelBackend(binding, '@tensorflow/tfjs-node-gpu'));
    setBackend('tensorflow');
  } catch (error) {
    // A library is missing or damaged; the first line says which.
    const [reason] = (error as Error).message.split('\n');
    throw environmentFailure(`TensorFlow does not load (${reason}): ${installation.remedy}.`);
  }
  const backend = engine().backend as unknown as TensorFlowBackend; // tfjs-node exports no type of its backend
  const eagerBinding = backend.binding as TensorFlow['eagerBinding'];
  assertCodes(eagerBinding);
  const c = loadCApi(installation.libraryDirectory, process.platform === 'darwin' ? 'dylib' : 'so');
  return {
    eagerBinding,
    backend,
    c,
    version: c.TF_Version() as string,
    device: 'cpu',
    deviceReason: '',
    kernels: 'none',
  };
}

/** clm's copies of TensorFlow's enumerations must be the binding's. */
function assertCodes(binding: Binding): void {
  const expected: Record<string, number> = {
    TF_FLOAT: dataTypes.float32,
    TF_INT32: dataTypes.int32,
    TF_BOOL: dataTypes.bool,
    TF_RESOURCE: dataTypes.resource,
    TF_ATTR_STRING: attributeTypes.string,
    TF_ATTR_INT: attributeTypes.int,
    TF_ATTR_FLOAT: attributeTypes.float,
    TF_ATTR_BOOL: attributeTypes.bool,
    TF_ATTR_TYPE: attributeTypes.type,
    TF_ATTR_SHAPE: attributeTypes.shape,
  };
  for (const [name, code] of Object.entries(expected)) {
    const actual: unknown = Reflect.get(binding, name);
    if (actual !== code) throw new Error(`tfjs-node's ${name} is ${actual}, clm expects ${code}`);
  }
}

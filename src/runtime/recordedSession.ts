/** The session whose programs are recorded into one TensorFlow graph and run as one call each. */
import { toBfloat16 } from '../tensors/elementTypes.ts';
import { matrixSizes, packedShape } from '../tensors/int8.ts';
import type { NamedTensor } from '../tensors/tensors.ts';
import { dataTypes, typeAttribute } from './binding.ts';
import { emptyTensor, newTensor, setTensor, tensorInPlace, tensorValues, type CApi, type Output } from './capi.ts';
import { openDecoder, type Decoder, type DecoderModel, type HeldValues } from './decoding/decoder.ts';
import { GraphSession } from './graph.ts';
import { keepMemory, packInt8, shareCores } from './kernelLibrary.ts';
import type { Pointer } from './libc.ts';
import { withProducts } from './products.ts';
import { Recorder } from './recorder.ts';
import { computing, tidied } from './recording.ts';
import { checkedValues, inputEntries, mapValues } from './session.ts';
import type { Definition, Inputs, InputSpecs, Program, ProgramOptions } from './session.ts';
import type { InitialValue, Session, SessionSettings } from './session.ts';
import type { TensorFlow } from './tensorflow.ts';
import type { NodeTiming } from './trace.ts';
import { storedType, variableOperations, type Variable } from './variables.ts';

export class RecordedSession implements Session {
  readonly settings: SessionSettings;
  readonly #tensorFlow: TensorFlow;
  readonly #graph: GraphSession;
  readonly #recorder: Recorder;
  readonly #variables = new Map<string, Variable>();
  readonly #readers = new Map<string, Output>();
  /** The tensors that programs are fed: each is written again for every run. */
  readonly #fed: Pointer[] = [];
  readonly #decoders: Decoder[] = [];
  #check: Promise<void> | undefined;

  constructor(tensorFlow: TensorFlow, settings: SessionSettings) {
    this.settings = settings;
    this.#tensorFlow = tensorFlow;
    this.#graph = new GraphSession(tensorFlow.c, settings.ownBranches, settings.place);
    this.#recorder = new Recorder(tensorFlow.c, this.#graph, tensorFlow.eagerBinding);
  }

  /** Nodes recorded so far, and bytes of constants embedded in them. */
  get recordedSize(): { nodes: number; constantBytes: number } {
    return this.#recorder.size;
  }

  resultsAfter(check: Promise<void>): void {
    this.#check = check;
  }

  async addVariables(tensors: readonly InitialValue[]): Promise<void> {
    const { c } = this.#tensorFlow;
    const feeds: { output: Output; tensor: Pointer }[] = [];
    const { updates } = this.#recorder.updatesOf(() => {
      for (const tensor of tensors) {
        const { name, shape, storedAs = 'float32', isTransposed = false } = tensor;
        const type = storedType(storedAs);
        const stored = storedAs === 'int8' ? packedShape(shape, isTransposed) : shape;
        const handleId = this.#recorder.variableHandle(name, stored, type);
        this.#variables.set(name, { shape, handleId, storedAs });
        const value = this.#recorder.placeholder(`initial/${name}`, stored, type);
        this.#recorder.executeOp('AssignVariableOp', [typeAttribute('dtype', type)], [handleId, value.id], 0);
        feeds.push({ output: value.output, tensor: initialTensor(c, tensor) });
      }
    });
    try {
      await this.#graph.run(feeds, [], updates);
    } finally {
      for (const feed of feeds) c.TF_DeleteTensor(feed.tensor);
    }
  }

  addView(view: string, variable: string, shape: number[]): void {
    const { storedAs } = this.#variable(variable);
    this.#variables.set(view, {
      shape,
      handleId: this.#recorder.variableHandle(variable, shape, storedType(storedAs)),
      storedAs,
    });
  }

  async readVariables(names: readonly string[]): Promise<NamedTensor[]> {
    for (const name of names) {
      const { storedAs } = this.#variable(name);
      if (storedAs !== 'float32') throw new Error(`${name} is stored in ${storedAs} and cannot be read back`);
    }
    const readers = names.map((name) => this.#reader(name));
    const fetched = await this.#graph.run([], readers, []);
    return names.map((name, i) => ({ name, shape: this.#variable(name).shape, values: this.#take(fetched[i]) }));
  }

  program<const I extends InputSpecs, O extends string>(
    name: string,
    inputs: I,
    define: Definition<I, O>,
    options: ProgramOptions = {},
  ): Program<I, O> {
    const { backend, c } = this.#tensorFlow;
    const recorder = this.#recorder;
    const binding = withProducts(recorder, this.settings, true);
    const variables = variableOperations(backend, (variable) => this.#variable(variable));
    const placeholders = inputEntries(inputs);
    const record = (): { feeds: Output[]; fetches: Record<O, Output> } => {
      const fed = placeholders.map(([input, spec]) => recorder.placeholder(input, spec.shape, dataTypes[spec.dtype]));
      const symbols = placeholders.map(([input, { shape, dtype }], i) => {
        const handle = { id: fed[i]!.id, dtype: dataTypes[dtype], shape: [...shape] };
        return [input, backend.createOutputTensor(handle)] as const;
      });
      const outputs = define(Object.fromEntries(symbols) as Inputs<I>, variables);
      const fetches = mapValues(outputs, (tensor) => {
        // By an operation, for the tensor itself may be bfloat16.
        const float = typeAttribute('T', dataTypes.float32);
        const [fetched] = backend.binding.executeOp('Identity', [float], backend.getInputTensorIds([tensor]), 1);
        return recorder.output(fetched!.id, 'Identity');
      });
      return { feeds: fed.map(({ output }) => output), fetches };
    };
    const { kernels, precision } = this.settings;
    const computation = { binding, recorder, kernels, precision };
    const { result, updates } = recorder.updatesOf(() =>
      computing(backend, computation, () => recorder.scoped(name, () => tidied(record))),
    );
    const fetches = Object.entries<Output>(result.fetches);

    const wanted = fetches.map(([, output]) => output);
    let feeds: { output: Output; tensor: Pointer }[] | undefined;
    const run = async (values: Parameters<Program['run']>[0]): Promise<Record<O, Float32Array>> => {
      const fed = placeholders.map(([input, spec]) => checkedValues(name, input, spec, values[input]));
      feeds ??= placeholders.map(([, { shape, dtype }], i) => {
        const tensor = emptyTensor(c, shape, dataTypes[dtype], fed[i]!.byteLength);
        this.#fed.push(tensor);
        return { output: result.feeds[i]!, tensor };
      });
      for (const [i, { tensor }] of feeds.entries()) setTensor(c, tensor, fed[i]!);
      shareCores(this.settings.ownBranches);
      const fetched = await this.#graph.run(feeds, wanted, updates, options);
      const entries = fetches.map(([output], i) => [output, this.#take(fetched[i])]);
      if (this.#check !== undefined) await this.#check;
      return Object.fromEntries(entries) as Record<O, Float32Array>;
    };
    return { run };
  }

  decoder(model: DecoderModel): Decoder | null {
    if (this.settings.kernels === 'none') return null;
    const decoder = openDecoder(model, (names) => this.#hold(names));
    this.#decoders.push(decoder);
    return decoder;
  }

  traced(body: () => Promise<void>): Promise<NodeTiming[]> {
    return this.#graph.traced(body);
  }

  close(): void {
    for (const decoder of this.#decoders) decoder.close();
    this.#graph.close();
    for (const tensor of this.#fed) this.#tensorFlow.c.TF_DeleteTensor(tensor);
  }

  /** The values of a tensor, which is deleted. */
  #take(tensor: Pointer): Float32Array {
    const { c } = this.#tensorFlow;
    const values = tensorValues(c, tensor);
    c.TF_DeleteTensor(tensor);
    return values;
  }

  #variable(name: string): Variable {
    const variable = this.#variables.get(name);
    if (!variable) throw new Error(`there is no variable ${name}`);
    return variable;
  }

  /** What a run fetches of a variable is its memory, not a copy. */
  async #hold(names: readonly string[]): Promise<HeldValues> {
    const { c } = this.#tensorFlow;
    const fetched = await this.#graph.run(
      [],
      names.map((name) => this.#reader(name)),
      [],
    );
    return {
      addresses: fetched.map((tensor) => c.TF_TensorData(tensor)),
      storedAs: names.map((name) => this.#variable(name).storedAs),
      release: () => {
        for (const tensor of fetched) c.TF_DeleteTensor(tensor);
      },
    };
  }

  #reader(name: string): Output {
    let output = this.#readers.get(name);
    if (!output) {
      const { handleId, storedAs } = this.#variable(name);
      const dtype = typeAttribute('dtype', storedType(storedAs));
      const [handle] = this.#recorder.executeOp('ReadVariableOp', [dtype], [handleId], 1);
      output = this.#recorder.output(handle!.id, 'ReadVariableOp');
      this.#readers.set(name, output);
    }
    return output;
  }
}

/** A new tensor of the values in the type they are stored in; the caller deletes it. */
function initialTensor(c: CApi, initial: InitialValue): Pointer {
  const { shape, values, storedAs = 'float32', isKept = false } = initial;
  if (storedAs === 'int8') return int8Tensor(c, initial);
  if (storedAs === 'bfloat16') return newTensor(c, shape, dataTypes.bfloat16, toBfloat16(values));
  const release = isKept ? keepMemory() : undefined;
  return release === undefined
    ? newTensor(c, shape, dataTypes.float32, values)
    : tensorInPlace(c, shape, dataTypes.float32, values, release);
}

/** A tensor of `packedShape` with a matrix in int8. */
function int8Tensor(c: CApi, { shape, values, isTransposed = false }: InitialValue): Pointer {
  const { inputs, outputs } = matrixSizes(shape, isTransposed);
  const packed = packedShape(shape, isTransposed);
  const tensor = emptyTensor(c, packed, dataTypes.uint8, packed[0] * packed[1]);
  packInt8(isTransposed, inputs, outputs, values, c.TF_TensorData(tensor));
  return tensor;
}

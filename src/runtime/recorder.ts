/**
 * Takes the place of tfjs-node's binding while a program is recorded: an operation becomes a node of a TensorFlow graph
 * and returns the shape that TensorFlow infers. Everything of tfjs above it, automatic differentiation included, works
 * unchanged on such symbolic tensors.
 */
import { dataTypes, shapeAttribute, stringAttribute, typeAttribute } from './binding.ts';
import type { Attribute, Binding, TensorHandle } from './binding.ts';
import { newTensor, type CApi, type Output } from './capi.ts';
import type { GraphSession } from './graph.ts';
import type { Pointer } from './libc.ts';

/** Ids of symbolic tensors start here; smaller ids are tensors of the eager binding. */
const firstSymbolicId = 1e9;

/** Operations of whose inputs some form one list, its length in attribute N: the place of the first of these. */
const lists: Readonly<Record<string, number>> = { ConcatV2: 0, Pack: 0, AddN: 0, ClmAccumulate: 4 };

/** Constants of more elements than this whose elements are all equal are recorded as Fill. */
const fillThreshold = 16;

export class Recorder implements Binding {
  readonly #c: CApi;
  readonly #graph: GraphSession;
  readonly #eager: Binding;
  readonly #outputs = new Map<number, Output>();
  readonly #constants = new Map<string, Output>();
  #nextId = firstSymbolicId;
  #nodes = 0;
  #constantBytes = 0;
  #scope = '';
  #controlInputs: Pointer[] = [];
  /** What every operation waits for, see `allAfter`. */
  #barriers: Pointer[] = [];
  #updates: Pointer[] = [];
  /** The latest update of each variable in the program being recorded, by its handle. */
  readonly #lastUpdates = new Map<number, Pointer>();

  constructor(c: CApi, graph: GraphSession, eager: Binding) {
    this.#c = c;
    this.#graph = graph;
    this.#eager = eager;
  }

  /** Nodes recorded so far, and bytes of constants embedded in them. */
  get size(): { nodes: number; constantBytes: number } {
    return { nodes: this.#nodes, constantBytes: this.#constantBytes };
  }

  createTensor(shape: number[], dtype: number, values: ArrayBufferView): number {
    return this.#register(this.#constant(shape, dtype, values)).id;
  }

  /** Symbolic tensors need no deleting; an eager one may be disposed of while recording. */
  deleteTensor(id: number): void {
    if (id < firstSymbolicId) this.#eager.deleteTensor(id);
  }

  tensorDataSync(id: number): Float32Array {
    if (id >= firstSymbolicId) throw new Error('recording: a recorded tensor has no value yet');
    return this.#eager.tensorDataSync(id);
  }

  executeOp(name: string, attributes: Attribute[], inputIds: number[], outputs: number): TensorHandle[] {
    const flat = inputIds.map((id) => this.output(id, name));
    const [start, count] = [lists[name], attributes.find((a) => a.name === 'N')?.value as number];
    const inputs =
      start === undefined
        ? flat
        : [...flat.slice(0, start), flat.slice(start, start + count), ...flat.slice(start + count)];
    const oper = this.#add(name, inputs, attributes, this.#controlsOf(name, inputIds[0]!, outputs));
    if (outputs === 0) {
      this.#updates.push(oper);
      this.#lastUpdates.set(inputIds[0]!, oper);
    }
    return Array.from({ length: outputs }, (_, index) => this.#register({ oper, index }, name));
  }

  /** The graph output behind a symbolic id. @throws for eager tensors: one would be frozen into the graph. */
  output(id: number, user: string): Output {
    const output = this.#outputs.get(id);
    if (!output) throw new Error(`recording ${this.#scope}${user}: a tensor made outside the program is used in it`);
    return output;
  }

  placeholder(name: string, shape: readonly number[], dtype: number): { id: number; output: Output } {
    const oper = this.#add(
      'Placeholder',
      [],
      [typeAttribute('dtype', dtype), shapeAttribute('shape', shape)],
      [],
      name,
    );
    const output = { oper, index: 0 };
    return { id: this.#register(output).id, output };
  }

  /** The handle of a resource variable; the same name is the same variable in every program of the session. */
  variableHandle(name: string, shape: readonly number[], dtype: number): number {
    const attributes = [
      typeAttribute('dtype', dtype),
      shapeAttribute('shape', shape),
      stringAttribute('shared_name', name),
    ];
    return this.#register({ oper: this.#add('VarHandleOp', [], attributes, [], `variable/${name}`), index: 0 }).id;
  }

  /** Nodes made by `body` are named below `name`, so that an error of a run says where it comes from. */
  scoped<T>(name: string, body: () => T): T {
    const outer = this.#scope;
    this.#scope = `${outer}${name}/`;
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** Everything `body` records waits for the tensors of `ids`, except constants, which programs share. */
  allAfter<T>(ids: readonly number[], body: () => T): T {
    const outer = this.#barriers;
    this.#barriers = [...outer, ...ids.map((id) => this.output(id, 'allAfter').oper)];
    try {
      return body();
    } finally {
      this.#barriers = outer;
    }
  }

  /**
   * Updates of variables recorded by `body` run only if the bool scalar `id` holds. One of the outputs of a Switch is
   * dead, and an operation that waits for a dead one does not run: TensorFlow's control flow before functions.
   */
  onlyIf<T>(id: number, body: () => T): T {
    const condition = this.output(id, 'onlyIf');
    const type = typeAttribute('T', dataTypes.bool);
    const holds = { oper: this.#add('Switch', [condition, condition], [type], []), index: 1 };
    const outer = this.#controlInputs;
    this.#controlInputs = [...outer, this.#add('Identity', [holds], [type], [])];
    try {
      return body();
    } finally {
      this.#controlInputs = outer;
    }
  }

  /** The operations without output (updates of variables) recorded by `body`: the targets of a run. */
  updatesOf<T>(body: () => T): { result: T; updates: Pointer[] } {
    this.#updates = [];
    this.#lastUpdates.clear();
    const result = body();
    this.#lastUpdates.clear();
    return { result, updates: this.#updates };
  }

  /**
   * What an operation waits for besides its inputs. Updates and reads of one variable would race: each waits for the
   * update recorded before it.
   */
  #controlsOf(name: string, firstInputId: number, outputs: number): Pointer[] {
    const last = this.#lastUpdates.get(firstInputId);
    const afterLast = last === undefined ? [] : [last];
    if (outputs === 0) return [...this.#barriers, ...this.#controlInputs, ...afterLast];
    return name === 'ReadVariableOp' ? [...this.#barriers, ...afterLast] : this.#barriers;
  }

  #add(
    type: string,
    inputs: readonly (Output | Output[])[],
    attributes: readonly Attribute[],
    controlInputs: readonly Pointer[],
    name = type,
    describe?: (description: Pointer, status: Pointer) => void,
  ): Pointer {
    const unique = `${this.#scope}${name}_${this.#nodes++}`;
    return this.#graph.add({ type, name: unique, inputs, controlInputs, attributes, ...(describe && { describe }) });
  }

  #register(output: Output, name = 'tensor'): TensorHandle {
    const id = this.#nextId++;
    this.#outputs.set(id, output);
    const dtype = this.#graph.dataType(output);
    return { id, dtype, shape: dtype === dataTypes.resource ? [] : this.#graph.shape(output, `${this.#scope}${name}`) };
  }

  #constant(shape: readonly number[], dtype: number, values: ArrayBufferView): Output {
    const elements = values as Float32Array | Int32Array | Uint8Array;
    if (elements.length > fillThreshold && elements.every((value) => value === elements[0])) {
      // tfjs's gradients make whole tensors of ones; as constants they would be hundreds of megabytes.
      const dimensions = this.#constant([shape.length], dataTypes.int32, Int32Array.from(shape));
      const value = this.#constant([], dtype, elements.slice(0, 1));
      const types = [typeAttribute('T', dtype), typeAttribute('index_type', dataTypes.int32)];
      return { oper: this.#add('Fill', [dimensions, value], types, this.#barriers), index: 0 };
    }
    const key = elements.length <= fillThreshold ? `${dtype}:${shape.join()}:${elements.join()}` : undefined;
    const known = key === undefined ? undefined : this.#constants.get(key);
    if (known) return known;
    this.#constantBytes += elements.byteLength;
    const tensor = newTensor(this.#c, shape, dtype, elements);
    const output = {
      oper: this.#add('Const', [], [typeAttribute('dtype', dtype)], [], 'Const', (description, status) =>
        this.#c.TF_SetAttrTensor(description, 'value', tensor, status),
      ),
      index: 0,
    };
    this.#c.TF_DeleteTensor(tensor);
    if (key !== undefined) this.#constants.set(key, output);
    return output;
  }
}

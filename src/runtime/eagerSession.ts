/** The session that runs a program operation by operation: the reference for recorded ones, and 2 to 3 times slower. */
import { tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../tensors/tensors.ts';
import { boolAttribute, shapeAttribute, stringAttribute, typeAttribute, type Binding } from './binding.ts';
import { dataTypes } from './capi.ts';
import { shareCores } from './kernelLibrary.ts';
import { withProducts } from './products.ts';
import { computing, tidied } from './recording.ts';
import { checkedValues, inputEntries, mapValues } from './session.ts';
import type { Definition, Inputs, InputSpecs, Program, Session, SessionSettings } from './session.ts';
import type { TensorFlow } from './tensorflow.ts';
import { variableOperations, type Precision, type Variable } from './variables.ts';

let sessions = 0;

export class EagerSession implements Session {
  readonly settings: SessionSettings;
  readonly #tensorFlow: TensorFlow;
  /** Variables live in the process by name; the number keeps two sessions apart. */
  readonly #container = `session-${++sessions}`;
  readonly #variables = new Map<string, Variable>();

  constructor(tensorFlow: TensorFlow, settings: SessionSettings) {
    this.settings = settings;
    this.#tensorFlow = tensorFlow;
  }

  async addVariables(tensors: readonly NamedTensor[], storedAs: Precision = 'float32'): Promise<void> {
    const { eagerBinding } = this.#tensorFlow;
    const dtype = typeAttribute('dtype', dataTypes.float32);
    for (const { name, shape, values } of tensors) {
      const handleId = this.#addHandle(name, name, shape);
      // The binding takes over an array that happens to be aligned instead of copying it: without a copy of its own a
      // variable that is updated in place would write into the caller's, or into another variable's, memory.
      const valueId = eagerBinding.createTensor(shape, dataTypes.float32, values.slice());
      const keptId = storedAs === 'float32' ? valueId : roundedToBfloat16(eagerBinding, valueId);
      eagerBinding.executeOp('AssignVariableOp', [dtype], [handleId, keptId], 0);
      for (const id of new Set([valueId, keptId])) eagerBinding.deleteTensor(id);
    }
  }

  addView(view: string, variable: string, shape: number[]): void {
    this.#addHandle(view, variable, shape);
  }

  async readVariables(names: readonly string[]): Promise<NamedTensor[]> {
    const { backend } = this.#tensorFlow;
    const variables = variableOperations(backend, (name) => this.#variable(name));
    return names.map((name) => {
      const value = variables.read(name);
      const values = Float32Array.from(value.dataSync());
      value.dispose();
      return { name, shape: this.#variable(name).shape, values };
    });
  }

  program<const I extends InputSpecs, O extends string>(
    name: string,
    inputs: I,
    define: Definition<I, O>,
  ): Program<I, O> {
    const { backend, eagerBinding } = this.#tensorFlow;
    const variables = variableOperations(backend, (variable) => this.#variable(variable));
    const compute = (values: Parameters<Program['run']>[0]): Record<O, Float32Array> => {
      const feeds = inputEntries(inputs).map(([input, spec]) => {
        const checked = checkedValues(name, input, spec, values[input]);
        return [input, tensor(checked, [...spec.shape], spec.dtype)] as const;
      });
      const outputs = define(Object.fromEntries(feeds) as Inputs<I>, variables);
      return mapValues(outputs, (output) => Float32Array.from(output.dataSync()));
    };
    return {
      run: async (values) => {
        shareCores(1); // operations run one after another
        const binding = withProducts(eagerBinding, this.settings, false);
        const computation = { binding, recorder: null, kernels: this.settings.kernels };
        return computing(backend, computation, () => tidied(() => compute(values)));
      },
    };
  }

  async traced(): Promise<never> {
    throw new Error('only a recorded session can be traced');
  }

  close(): void {
    const { eagerBinding } = this.#tensorFlow;
    for (const { handleId } of this.#variables.values()) {
      eagerBinding.executeOp('DestroyResourceOp', [boolAttribute('ignore_lookup_error', true)], [handleId], 0);
      eagerBinding.deleteTensor(handleId);
    }
    this.#variables.clear();
  }

  #addHandle(name: string, variable: string, shape: number[]): number {
    const attributes = [
      typeAttribute('dtype', dataTypes.float32),
      shapeAttribute('shape', shape),
      stringAttribute('shared_name', `${this.#container}/${variable}`),
      stringAttribute('container', ''),
    ];
    const handleId = this.#tensorFlow.eagerBinding.executeOp('VarHandleOp', attributes, [], 1)[0]!.id;
    this.#variables.set(name, { shape, handleId, storedAs: 'float32' });
    return handleId;
  }

  #variable(name: string): Variable {
    const variable = this.#variables.get(name);
    if (!variable) throw new Error(`there is no variable ${name}`);
    return variable;
  }
}

/** The nearest bfloat16 numbers, in float32: what a variable stored in bfloat16 is read as. */
function roundedToBfloat16(binding: Binding, id: number): number {
  const cast = (from: number, to: number, input: number): number =>
    binding.executeOp('Cast', [typeAttribute('SrcT', from), typeAttribute('DstT', to)], [input], 1)[0]!.id;
  const stored = cast(dataTypes.float32, dataTypes.bfloat16, id);
  const rounded = cast(dataTypes.bfloat16, dataTypes.float32, stored);
  binding.deleteTensor(stored);
  return rounded;
}

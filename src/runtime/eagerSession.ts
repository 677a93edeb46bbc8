/** The session that runs a program operation by operation: the reference for recorded ones, and 2 to 3 times slower. */
import { tensor } from '../tfjs.ts';
import { fromFloat32, toFloat32 } from '../tensors/elementTypes.ts';
import type { NamedTensor } from '../tensors/tensors.ts';
import { boolAttribute, dataTypes, shapeAttribute, stringAttribute, typeAttribute } from './binding.ts';
import { shareCores } from './kernelLibrary.ts';
import { withProducts } from './products.ts';
import { computing, tidied } from './recording.ts';
import { checkedValues, inputEntries, mapValues } from './session.ts';
import type { Definition, InitialValue, Inputs, InputSpecs, Program, Session, SessionSettings } from './session.ts';
import type { TensorFlow } from './tensorflow.ts';
import { variableOperations, type Variable } from './variables.ts';

let sessions = 0;

export class EagerSession implements Session {
  readonly settings: SessionSettings;
  readonly #tensorFlow: TensorFlow;
  /** Variables live in the process by name; the number keeps two sessions apart. */
  readonly #container = `session-${++sessions}`;
  readonly #variables = new Map<string, Variable>();

  #check: Promise<void> | undefined;

  constructor(tensorFlow: TensorFlow, settings: SessionSettings) {
    this.settings = settings;
    this.#tensorFlow = tensorFlow;
  }

  resultsAfter(check: Promise<void>): void {
    this.#check = check;
  }

  async addVariables(tensors: readonly InitialValue[]): Promise<void> {
    const { eagerBinding } = this.#tensorFlow;
    const dtype = typeAttribute('dtype', dataTypes.float32);
    for (const { name, shape, values, storedAs = 'float32' } of tensors) {
      if (storedAs === 'int8') throw new Error('only a recorded session stores variables in int8');
      const handleId = this.#addHandle(name, name, shape);
      // The binding takes over an array that happens to be aligned instead of copying it: without a copy of its own a
      // variable that is updated in place would write into the caller's, or into another variable's, memory.
      const kept = storedAs === 'float32' ? values.slice() : toFloat32(fromFloat32(values, 'BF16'), 'BF16');
      const valueId = eagerBinding.createTensor(shape, dataTypes.float32, kept);
      eagerBinding.executeOp('AssignVariableOp', [dtype], [handleId, valueId], 0);
      eagerBinding.deleteTensor(valueId);
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
        const { kernels, precision } = this.settings;
        const computation = { binding, recorder: null, kernels, precision };
        const results = computing(backend, computation, () => tidied(() => compute(values)));
        await this.#check;
        return results;
      },
    };
  }

  async traced(): Promise<never> {
    throw new Error('only a recorded session can be traced');
  }

  decoder(): null {
    return null;
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

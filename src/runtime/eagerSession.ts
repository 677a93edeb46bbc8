/** The session that runs a program operation by operation: the reference for recorded ones, and 2 to 3 times slower. */
import { tensor, tidy, type Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../tensors/tensors.ts';
import { bfloat16Products } from './bfloat16.ts';
import { boolAttribute, shapeAttribute, stringAttribute, typeAttribute, type Binding } from './binding.ts';
import { dataTypes } from './capi.ts';
import { shareCores } from './operationsLibrary.ts';
import { checkedValues, type InputSpec, type Program, type Values } from './program.ts';
import { withBinding } from './recording.ts';
import type { Definition, Precision, Session } from './session.ts';
import type { TensorFlow } from './tensorflow.ts';
import { float32Products } from './tileProducts.ts';
import { variableOperations } from './variables.ts';

let sessions = 0;

export class EagerSession implements Session {
  readonly mode = 'eager';
  readonly precision: Precision;
  readonly device: 'cpu' | 'cuda';
  readonly deviceReason: string;
  readonly branches: number;
  readonly #tensorFlow: TensorFlow;
  /** Variables live in the process by name; the number keeps two sessions apart. */
  readonly #container = `session-${++sessions}`;
  readonly #variables = new Map<string, { shape: number[]; handleId: number }>();

  constructor(tensorFlow: TensorFlow, precision: Precision, branches: number) {
    this.branches = branches;
    this.precision = precision;
    this.device = tensorFlow.device;
    this.deviceReason = tensorFlow.deviceReason;
    this.#tensorFlow = tensorFlow;
  }

  async addVariables(tensors: readonly NamedTensor[], stored: Precision = 'float32'): Promise<void> {
    const { eagerBinding } = this.#tensorFlow;
    const dtype = typeAttribute('dtype', dataTypes.float32);
    for (const { name, shape, values } of tensors) {
      const handleId = this.#addHandle(name, name, shape);
      // The binding takes over an array that happens to be aligned instead of copying it: without a copy of its own a
      // variable that is updated in place would write into the caller's, or into another variable's, memory.
      const valueId = eagerBinding.createTensor(shape, dataTypes.float32, values.slice());
      const keptId = stored === 'float32' ? valueId : roundedToHalf(eagerBinding, valueId);
      eagerBinding.executeOp('AssignVariableOp', [dtype], [handleId, keptId], 0);
      for (const id of new Set([valueId, keptId])) eagerBinding.deleteTensor(id);
    }
  }

  addView(view: string, variable: string, shape: number[]): void {
    this.#addHandle(view, variable, shape);
  }

  async readVariables(names: readonly string[]): Promise<NamedTensor[]> {
    const { backend } = this.#tensorFlow;
    const variables = variableOperations(backend, (name) => this.#variable(name).handleId);
    return names.map((name) => {
      const value = variables.read(name);
      const values = Float32Array.from(value.dataSync());
      value.dispose();
      return { name, shape: this.#variable(name).shape, values };
    });
  }

  program(name: string, inputs: Record<string, InputSpec>, define: Definition): Program {
    const { backend } = this.#tensorFlow;
    const variables = variableOperations(backend, (variable) => this.#variable(variable).handleId);
    const run = async (values: Record<string, Values>): Promise<Record<string, Float32Array>> => {
      shareCores(1); // operations run one after another
      const compute = (): Record<string, Float32Array> => {
        let results: Record<string, Float32Array> = {};
        tidy(() => {
          const tensors: Record<string, Tensor> = {};
          for (const [input, spec] of Object.entries(inputs)) {
            const checked = checkedValues(name, input, spec, values[input]);
            tensors[input] = tensor(checked, [...spec.shape], spec.dtype);
          }
          results = Object.fromEntries(
            Object.entries(define(tensors, variables)).map(([output, t]) => [output, Float32Array.from(t.dataSync())]),
          );
        });
        return results;
      };
      const { binding } = backend;
      return withBinding(
        backend,
        this.precision === 'bfloat16' ? bfloat16Products(binding, false) : float32Products(binding),
        compute,
      );
    };
    return { run };
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
    this.#variables.set(name, { shape, handleId });
    return handleId;
  }

  #variable(name: string): { shape: number[]; handleId: number } {
    const variable = this.#variables.get(name);
    if (!variable) throw new Error(`there is no variable ${name}`);
    return variable;
  }
}

/** The numbers that bfloat16 has for these, in float32: what a variable kept in it is read as. */
function roundedToHalf(binding: Binding, id: number): number {
  const cast = (from: number, to: number, input: number): number =>
    binding.executeOp('Cast', [typeAttribute('SrcT', from), typeAttribute('DstT', to)], [input], 1)[0]!.id;
  const half = cast(dataTypes.float32, dataTypes.bfloat16, id);
  const rounded = cast(dataTypes.bfloat16, dataTypes.float32, half);
  binding.deleteTensor(half);
  return rounded;
}

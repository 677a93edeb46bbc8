/** The session whose programs are recorded into one TensorFlow graph and run as one call each. */
import { tidy, type Tensor } from '@tensorflow/tfjs-core';
import type { NamedTensor } from '../tensors/tensors.ts';
import { bfloat16Products, toHalves } from './bfloat16.ts';
import { typeAttribute, type Binding } from './binding.ts';
import { dataTypes, newTensor, tensorValues, type Output, type Pointer } from './capi.ts';
import { GraphSession } from './graph.ts';
import { shareCores } from './operationsLibrary.ts';
import { checkedValues, type InputSpec, type Program, type ProgramOptions, type Values } from './program.ts';
import { Recorder } from './recorder.ts';
import { recordingWith } from './recording.ts';
import type { Definition, Precision, Session } from './session.ts';
import type { TensorFlow } from './tensorflow.ts';
import type { NodeTiming } from './trace.ts';
import { float32Products } from './tileProducts.ts';
import { variableOperations } from './variables.ts';

interface Variable {
  shape: number[];
  handleId: number;
  stored: Precision;
}

export class RecordedSession implements Session {
  readonly mode = 'recorded';
  readonly precision: Precision;
  readonly device: 'cpu' | 'cuda';
  readonly deviceReason: string;
  readonly branches: number;
  readonly #tensorFlow: TensorFlow;
  readonly #graph: GraphSession;
  readonly #recorder: Recorder;
  readonly #variables = new Map<string, Variable>();
  readonly #readers = new Map<string, Output>();

  constructor(tensorFlow: TensorFlow, precision: Precision, branches: number) {
    this.branches = branches;
    this.precision = precision;
    this.device = tensorFlow.device;
    this.deviceReason = tensorFlow.deviceReason;
    this.#tensorFlow = tensorFlow;
    this.#graph = new GraphSession(tensorFlow.c, branches);
    this.#recorder = new Recorder(tensorFlow.c, this.#graph, tensorFlow.eagerBinding);
  }

  /** Nodes recorded so far, and bytes of constants embedded in them. */
  get recordedSize(): { nodes: number; constantBytes: number } {
    return this.#recorder.size;
  }

  async addVariables(tensors: readonly NamedTensor[], stored: Precision = 'float32'): Promise<void> {
    const { c } = this.#tensorFlow;
    const dtype = typeAttribute('dtype', dataTypes[stored]);
    const feeds: { output: Output; tensor: Pointer }[] = [];
    const { updates } = this.#recorder.updatesOf(() => {
      for (const { name, shape, values } of tensors) {
        const handleId = this.#recorder.variableHandle(name, shape, dataTypes[stored]);
        this.#variables.set(name, { shape, handleId, stored });
        const value = this.#recorder.placeholder(`initial/${name}`, shape, dataTypes[stored]);
        this.#recorder.executeOp('AssignVariableOp', [dtype], [handleId, value.id], 0);
        const kept = stored === 'float32' ? values : toHalves(values);
        feeds.push({ output: value.output, tensor: newTensor(c, shape, dataTypes[stored], kept) });
      }
    });
    try {
      await this.#graph.run(feeds, [], updates);
    } finally {
      for (const feed of feeds) c.TF_DeleteTensor(feed.tensor);
    }
  }

  addView(view: string, variable: string, shape: number[]): void {
    const { stored } = this.#variable(variable);
    this.#variables.set(view, {
      shape,
      handleId: this.#recorder.variableHandle(variable, shape, dataTypes[stored]),
      stored,
    });
  }

  async readVariables(names: readonly string[]): Promise<NamedTensor[]> {
    const { c } = this.#tensorFlow;
    const fetched = await this.#graph.run(
      [],
      names.map((name) => this.#reader(name)),
      [],
    );
    return names.map((name, i) => {
      const values = tensorValues(c, fetched[i]);
      c.TF_DeleteTensor(fetched[i]);
      return { name, shape: this.#variable(name).shape, values };
    });
  }

  program(name: string, inputs: Record<string, InputSpec>, define: Definition, options: ProgramOptions = {}): Program {
    const { backend, c } = this.#tensorFlow;
    const recorder = this.#recorder;
    const binding: Binding =
      this.precision === 'bfloat16' ? bfloat16Products(recorder, true) : float32Products(recorder);
    const placeholders = new Map<string, { spec: InputSpec; output: Output }>();
    const variables = variableOperations(
      backend,
      (variable) => this.#variable(variable).handleId,
      (variable) => this.#variable(variable).stored === 'bfloat16',
    );
    const fetches = new Map<string, Output>();
    const record = (): void => {
      const symbols: Record<string, Tensor> = {};
      for (const [input, spec] of Object.entries(inputs)) {
        const dtype = dataTypes[spec.dtype];
        const { id, output } = recorder.placeholder(input, spec.shape, dtype);
        placeholders.set(input, { spec, output });
        symbols[input] = backend.createOutputTensor({ id, dtype, shape: [...spec.shape] });
      }
      for (const [output, tensor] of Object.entries(define(symbols, variables))) {
        // By an operation, for the tensor itself may be bfloat16.
        const float = typeAttribute('T', dataTypes.float32);
        const [fetched] = backend.binding.executeOp('Identity', [float], backend.getInputTensorIds([tensor]), 1);
        fetches.set(output, recorder.output(fetched!.id, output));
      }
    };
    const { updates } = recorder.updatesOf(() =>
      recordingWith(backend, recorder, binding, () => recorder.scoped(name, () => tidy(record))),
    );

    const run = async (values: Record<string, Values>): Promise<Record<string, Float32Array>> => {
      const feeds = Array.from(placeholders, ([input, { spec, output }]) => ({
        output,
        tensor: newTensor(c, spec.shape, dataTypes[spec.dtype], checkedValues(name, input, spec, values[input])),
      }));
      try {
        shareCores(this.branches);
        const fetched = await this.#graph.run(feeds, [...fetches.values()], updates, options);
        return Object.fromEntries(
          Array.from(fetches.keys(), (output, i) => {
            const result = tensorValues(c, fetched[i]);
            c.TF_DeleteTensor(fetched[i]);
            return [output, result];
          }),
        );
      } finally {
        for (const feed of feeds) c.TF_DeleteTensor(feed.tensor);
      }
    };
    return { run };
  }

  traced(body: () => Promise<void>): Promise<NodeTiming[]> {
    return this.#graph.traced(body);
  }

  close(): void {
    this.#graph.close();
  }

  #variable(name: string): Variable {
    const variable = this.#variables.get(name);
    if (!variable) throw new Error(`there is no variable ${name}`);
    return variable;
  }

  #reader(name: string): Output {
    let output = this.#readers.get(name);
    if (!output) {
      const { handleId, stored } = this.#variable(name);
      if (stored !== 'float32') throw new Error(`${name} is kept in ${stored} and cannot be read back`);
      const dtype = typeAttribute('dtype', dataTypes.float32);
      const [handle] = this.#recorder.executeOp('ReadVariableOp', [dtype], [handleId], 1);
      output = this.#recorder.output(handle!.id, 'ReadVariableOp');
      this.#readers.set(name, output);
    }
    return output;
  }
}

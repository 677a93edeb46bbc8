/** The optimizers by their names in a config. */
import { adamW } from './adamw.ts';
import { muon } from './muon.ts';
import type { Optimizer, OptimizerConfig } from './optimizer.ts';

const optimizers: Record<OptimizerConfig['kind'], Optimizer> = { adamw: adamW, muon };

export const optimizerOf = ({ kind }: OptimizerConfig): Optimizer => optimizers[kind];

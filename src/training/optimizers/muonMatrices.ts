/** Which parameters are Muon's: the matrices inside the blocks. Loads nothing native, for the plan asks it too. */
import type { ParameterSpec } from '../../model/parameters.ts';

export const isMuonMatrix = ({ name, shape }: ParameterSpec): boolean =>
  name.startsWith('blocks.') && shape.length === 2;

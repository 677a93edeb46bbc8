/** The library of clm's own operations (native/kernels/*.cc): loading it, and its threads. */
import os from 'node:os';
import { environmentFailure } from '../errors.ts';
import { loadOperations, type OperationsLibrary } from './capi.ts';
import { wantsOwnOperations } from './ownOperations.ts';

let library: OperationsLibrary | undefined;

/**
 * Registers the operations with the TensorFlow of this process, once.
 *
 * @returns false where they are not to be used: CLM_FUSED_OPERATIONS=0, or a machine of many cores
 * @throws environment failure where the library does not load
 */
export function registerFusedOperations(operationsPath: string): boolean {
  if (!wantsOwnOperations()) return false;
  try {
    library = loadOperations(operationsPath);
  } catch (error) {
    throw environmentFailure(`clm's own operations do not load (${(error as Error).message}): run "npm run setup".`);
  }
  const code = library.register();
  if (code !== 0) throw new Error(`clm's own operations could not be registered (TF_Code ${code})`);
  return true;
}

/** May products be computed on tiles (tileProducts.ts)? CLM_TILE_PRODUCTS=0 says no. */
export const hasTiles = (): boolean => process.env['CLM_TILE_PRODUCTS'] !== '0' && library?.hasTiles() === 1;

/** Shares the cores among the branches of the program about to run. */
export const shareCores = (branches: number): void =>
  library?.setThreadsPerBranch(Math.max(1, Math.floor(os.availableParallelism() / branches)));

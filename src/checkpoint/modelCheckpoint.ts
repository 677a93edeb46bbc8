/** A checkpoint to use the model of: what it says, and where the weights are, which of an adapter are its base's. */
import { join } from 'node:path';
import { parseResolvedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { readSafetensors } from '../tensors/safetensors.ts';
import type { NamedTensor } from '../tensors/tensors.ts';
import { findBase, pinnedBase, type AdapterBase } from './adapterBase.ts';
import { beginOpening, type Checkpoint } from './checkpoint.ts';

export interface ModelCheckpoint {
  checkpoint: Omit<Checkpoint, 'model' | 'optimizer'>;
  config: Config;
  /** The file with the parameters of the model, without what an adapter adds to them. */
  weightsFile: string;
  /** What is added to them; null if the checkpoint is not that of an adapter. */
  adapter: OpenedAdapter | null;
  /** Rejected if the weights are damaged, of which the hash may still be computed. */
  verified: Promise<void>;
}

export interface OpenedAdapter {
  base: AdapterBase;
  /** The file with its own parameters. */
  file: string;
  tensors: readonly NamedTensor[];
}

/**
 * Opens a checkpoint and, if it is that of an adapter, its base, after checking length and hash of every file used, but
 * for the hash of the weights, see `verified`.
 *
 * @param directory the checkpoint's folder
 * @throws wrongInput if anything is missing or damaged, or the base is not the one that the adapter was made for
 */
export async function openModelCheckpoint(directory: string): Promise<ModelCheckpoint> {
  const { verified, ...checkpoint } = await beginOpening(directory, { optimizer: false });
  const config = parseResolvedConfig(checkpoint.configText, join(directory, 'config.yaml'));
  const file = join(directory, 'model.safetensors');
  const pin = pinnedBase(checkpoint.state);
  if (pin === undefined) return { checkpoint, config, weightsFile: file, adapter: null, verified };
  await verified;
  const base = await findBase(config.start.from!, pin);
  const { verified: baseVerified } = await beginOpening(base.path, { optimizer: false });
  const adapter = { base, file, tensors: await readSafetensors(file) };
  return { checkpoint, config, weightsFile: join(base.path, 'model.safetensors'), adapter, verified: baseVerified };
}

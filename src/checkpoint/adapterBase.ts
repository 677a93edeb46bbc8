/**
 * The base of an adapter: the checkpoint whose weights it adapts. A checkpoint of an adapter holds only the matrices of
 * the adapter; its config says where the base is, and its state.json which step of it, with the hash of the weights.
 */
import { wrongInput } from '../errors.ts';
import { shellPath } from '../shellWord.ts';
import { isCheckpointFolder, listCheckpoints, resolveCheckpoint, type CheckpointPlace } from '../run/findCheckpoint.ts';
import { exists } from '../storage/durable.ts';
import { readState, type StoredRecord } from './checkpointFiles.ts';

/** What the state.json of an adapter says of its base. */
export interface BasePin {
  step: number;
  /** Of `model.safetensors`. */
  sha256: string;
}

export interface AdapterBase extends BasePin {
  /** The folder of the checkpoint. */
  path: string;
}

/** The base that a checkpoint is pinned to; undefined if it is not that of an adapter. */
export const pinnedBase = (record: StoredRecord): BasePin | undefined => record['base'] as BasePin | undefined;

/**
 * The checkpoint that a new adapter is pinned to: the last one of a run, or the one that is given.
 *
 * @param from `start.from`
 * @throws wrong input if there is none, or it is an adapter itself
 */
export async function baseToPin(from: string): Promise<AdapterBase> {
  const path = await resolveCheckpoint(from, 'last');
  const { step, record, files } = await readState(path);
  refuseAdapter(from, record);
  return { path, step, sha256: files['model.safetensors'].sha256 };
}

/**
 * @param why it cannot be used
 * @throws wrong input if a run to start from is an adapter: its weights are another run's and its own together
 */
export function refuseAdapter(
  from: string,
  record: StoredRecord,
  why = `${from} is a run with an adapter, and here a run with weights of its own is needed.`,
): void {
  if (pinnedBase(record) === undefined) return;
  throw wrongInput(
    `${why} Merge it first: clm export ${shellPath(from)} DIR --merge, then clm import DIR --run RUN, and use RUN ` +
      '(start.from in a config).',
  );
}

/**
 * The checkpoint that an adapter is pinned to.
 *
 * @param from where the config of the adapter says that its base is
 * @throws wrong input if it is not there, no longer has that step, or has other weights at it
 */
export async function findBase(from: string, { step, sha256 }: BasePin): Promise<AdapterBase> {
  const wanted = `The adapter needs step ${step} of its base, ${from}`;
  if (!(await exists(from))) {
    throw wrongInput(
      `${wanted}, which does not exist. If it was moved, move it back; a folder that holds base and adapter can be ` +
        'moved as a whole.',
    );
  }
  const isFolder = await isCheckpointFolder(from);
  const places = isFolder ? [{ step: (await readState(from)).step, path: from }] : await listCheckpoints(from);
  const place = places.find((each) => each.step === step);
  if (place === undefined) throw wrongInput(`${wanted}, which ${whatItHas(places)}. ${restoreIt}`);
  const { files } = await readState(place.path);
  if (files['model.safetensors'].sha256 !== sha256) {
    throw wrongInput(
      `${wanted}, but the weights in ${place.path} are others: it was trained or imported again. ${restoreIt}`,
    );
  }
  return { path: place.path, step, sha256 };
}

function whatItHas(places: readonly CheckpointPlace[]): string {
  if (places.length === 0) return 'has no checkpoints';
  const steps = places.map((place) => place.step).join(', ');
  const isOlder = 'it was deleted when the run was trained further (checkpoints.keepLast)';
  return `has only step${places.length === 1 ? '' : 's'} ${steps}: ${isOlder}`;
}

const restoreIt =
  'Restore that checkpoint from a copy, or train the adapter again. To keep the base of an adapter, train on in a ' +
  'new run (start.from) rather than in the base.';

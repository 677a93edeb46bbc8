/** What clm computes with: which libtensorflow, where, and for which device. */

/** All paths are absolute. A clone's is written by scripts/setup/installation.mjs. */
export interface Installation {
  tensorflowVersion: string;
  device: 'cpu' | 'cuda';
  /** Why this device was chosen, as the end of "TensorFlow for the CPU: …". */
  why: string;
  /** Holds libtensorflow itself. */
  libraryDirectory: string;
  /** The native addon of tfjs-node. */
  bindingPath: string;
  /** The library of clm's kernels (native/). */
  kernelsPath: string;
}

/** An installation, and what to do about it. */
export interface UsableInstallation extends Installation {
  /** The end of a message that a part of it does not load. */
  remedy: string;
  /** The end of a message that it has no CUDA. */
  cudaRemedy: string;
  /** What the user has to know before this device is used without having been asked for. */
  warning?: string;
}

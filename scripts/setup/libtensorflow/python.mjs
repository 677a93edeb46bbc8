// Python, which the set-up uses to fetch (pip) and unpack wheels, and to lock files.

import { SetupFailure } from '../failure.mjs';
import { findProgram } from '../process.mjs';

/**
 * Path of python3.
 * @throws SetupFailure where there is none
 */
export function requirePython() {
  const python = findProgram(['python3']);
  if (python === undefined) {
    throw new SetupFailure(
      'python3 was not found; the set-up needs it, with pip, to fetch TensorFlow: install it ' +
        '(Debian, Ubuntu: apt install python3 python3-pip; Fedora: dnf install python3 python3-pip; ' +
        'macOS: brew install python).',
    );
  }
  return python;
}

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { locateBinding } from '../../scripts/setup/binding.mjs';
import { locateLibraries } from '../../scripts/setup/libtensorflow/libraries.mjs';
import { parseRequirements, tensorflowVersion, wheelSet } from '../../scripts/setup/libtensorflow/wheels.mjs';
import { projectDirectory } from './scratchProject.ts';

const requirementsOf = (name: string) =>
  parseRequirements(
    readFileSync(path.join(projectDirectory, `scripts/setup/libtensorflow/requirements/${name}.txt`), 'utf8'),
  );

describe('the wheels', () => {
  test.each([
    ['linux', 'x64', 'cpu', 'tensorflow-cpu', 'manylinux_2_27_x86_64'],
    ['linux', 'x64', 'cuda', 'tensorflow', 'manylinux_2_27_x86_64'],
    ['linux', 'arm64', 'cpu', 'tensorflow', 'manylinux_2_27_aarch64'],
    ['darwin', 'arm64', 'cpu', 'tensorflow', 'macosx_12_0_arm64'],
  ] as const)('for %s on %s, %s: %s', (platform, arch, device, name, tag) => {
    const set = wheelSet(platform, arch, device);
    expect(set.pipPlatforms).toContain(tag);
    const [tensorflow] = requirementsOf(set.name);
    expect(tensorflow).toMatchObject({ name, version: tensorflowVersion });
    const suffix = platform === 'darwin' ? /^libtensorflow.*\.2\.dylib$/ : /^libtensorflow.*\.so\.2$/;
    expect(set.libraries).toHaveLength(2);
    for (const library of set.libraries) {
      expect(library).toMatch(suffix);
      expect(set.members).toContain(`tensorflow/${library}`);
    }
  });

  test('the CUDA set pins every package of the extra "and-cuda", within its bounds', () => {
    // From the METADATA of tensorflow 2.21.0: at least this version, and below the next number of its first part.
    const wanted: Record<string, string> = {
      ...{ cublas: '12.5.3.2', 'cuda-cupti': '12.5.82', 'cuda-nvcc': '12.5.82', 'cuda-nvrtc': '12.5.82' },
      ...{ 'cuda-runtime': '12.5.82', cudnn: '9.3.0.75', cufft: '11.2.3.61', curand: '10.3.6.82' },
      ...{ cusolver: '11.6.3.83', cusparse: '12.5.1.3', nccl: '2.27.7', nvjitlink: '12.5.82' },
    };
    const pinned = requirementsOf('linux-x64-cuda').slice(1);
    expect(pinned.map(({ name }) => name).sort()).toEqual(
      Object.keys(wanted)
        .map((name) => `nvidia-${name}-cu12`)
        .sort(),
    );
    for (const { name, version } of pinned) {
      const minimum = wanted[name.slice('nvidia-'.length, -'-cu12'.length)] ?? '';
      expect(version.split('.')[0]).toBe(minimum.split('.')[0]);
      expect(version.localeCompare(minimum, 'en', { numeric: true })).toBeGreaterThanOrEqual(0);
    }
  });

  test('a requirement without its hash is refused', () => {
    expect(() => parseRequirements('tensorflow==2.21.0  # 5 bytes\n')).toThrow('not a pinned requirement');
  });

  test.each([
    ['linux', 'x64', '$ORIGIN', false],
    ['darwin', 'arm64', '@loader_path', true],
  ])('on %s, what is compiled finds the library in its own folder: %s', (platform, arch, own, isOpen) => {
    const libraries = locateLibraries(projectDirectory, '/c, d', { platform, arch }, 'cpu');
    const { file, flags } = locateBinding(projectDirectory, libraries);
    expect(path.dirname(file)).toBe(libraries.libraryDirectory);
    expect(flags[flags.indexOf('-rpath') + 2]).toBe(own);
    expect(flags).toContain(path.join(libraries.libraryDirectory, libraries.set.libraries[0]!));
    expect(flags.includes('dynamic_lookup')).toBe(isOpen); // Node's functions
  });

  test('what is compiled has the same name wherever the cache is, so that it need not be made again', () => {
    const nameIn = (cache: string): string =>
      path.basename(locateBinding(projectDirectory, locateLibraries(projectDirectory, cache, process, 'cpu')).file);
    expect(nameIn('/a')).toBe(nameIn('/b/c'));
  });
});

"""Compiled parts of kernelff.

The loops of a descriptor (ext/soap.c, ext/symmetry.c, ext/moments.c) are one C source compiled once per instruction
set into objects with their own symbol names, linked into a single Cython module which chooses at
import; that keeps one .pyx and one module name where three Extensions would need three generated
copies of the door.
No -march=native: the wheel runs on any CPU of its architecture.
"""

import platform

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

FLAGS = ["-O3", "-g0", "-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast"]
X86 = platform.machine().lower() in ("x86_64", "amd64")
AVX512 = ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"]

# instruction set -> (lanes of float64, compiler flags)
ISAS = {"base": (2, [])} | ({"avx2": (4, ["-mavx2", "-mfma"]), "avx512": (8, AVX512)} if X86 else {})
SHARED = ["ext/lanes.h", "ext/centres.h", "ext/dispatch.h", "ext/centres.pxi"]
MOMENTS = [f"ext/moments{part}" for part in (".c", "_derivatives.h", "_coefficients.h", ".h")]
SOAP = [f"ext/soap{part}" for part in ("_derivatives.h", "_adjoint.h", "_expansion.h", "_scratch.h", ".h")]
GAP = ["ext/gap_products.h", "ext/gap_tiles.h", "ext/gap_single.h", "ext/gap_rows.h", "ext/gap.h", "ext/gap.pxi"]
MD = [f"ext/md{part}.h" for part in ("", "_private", "_team", "_list", "_forces", "_stages")] + [
    "ext/md_uncertainty.h",
    "ext/uncertainty.h",
    "ext/uncertainty.pxi",
    "ext/md.pxi",
    "ext/centre_term.pxi",
    "ext/philox.h",
    "ext/block.h",
    "ext/forces.h",
]
POTENTIAL = [f"ext/moments_{part}" for part in ("potential.h", "slots.h", "pull.h", "potential.pxi")]
PAIRS = ["ext/pair_tables.h", "ext/pair_rows.h", "ext/pair_tables.pxi"]
UNCERTAINTY = ["ext/uncertainty.h", "ext/uncertainty.pxi"]
# module -> its sources, then what these include
LOOPS = {
    "kernelff._soap": ["ext/soap.c", "ext/gap.c", *SOAP, *GAP, *SHARED],
    "kernelff._symmetry": ["ext/symmetry.c", "ext/symmetry.h", *SHARED],
    "kernelff._moments": [*MOMENTS, "ext/moments_potential.c", *POTENTIAL, *SHARED],
    "kernelff._pairs": ["ext/pair_tables.c", *PAIRS, *SHARED],
    "kernelff._forces": ["ext/forces.c", "ext/forces.h", "ext/block.h", "ext/centre_term.pxi", *UNCERTAINTY, *SHARED],
    "kernelff._uncertainty": ["ext/uncertainty.c", *UNCERTAINTY, *GAP, *SOAP, *SHARED],
    "kernelff._md": ["ext/md.c", *MD, *SHARED],
}
SINGLE = ("ext/moments_potential.c",)  # compiled for float32 too, of which twice as many fit


class BuildPerIsa(build_ext):
    """Compile the loops of a module for every instruction set before linking it."""

    def build_extension(self, ext):
        if ext.name in LOOPS:
            sources = [source for source in LOOPS[ext.name] if source.endswith(".c")]
            single = [source for source in sources if source in SINGLE]
            ext.extra_objects = [
                found
                for isa, (lanes, flags) in ISAS.items()
                for found in self.compile_isa(isa, lanes, flags, sources, ext.depends)
                + self.compile_isa(f"{isa}_single", 2 * lanes, [*flags, "-DSINGLE"], single, ext.depends)
            ]
        super().build_extension(ext)

    def compile_isa(self, folder, lanes, flags, sources, depends):
        return self.compiler.compile(
            sources,
            output_dir=f"{self.build_temp}/{folder}",
            macros=[("ISA", folder.removesuffix("_single")), ("LANES", str(lanes))],
            extra_postargs=FLAGS + flags,
            depends=depends,
        )


class SourceDistribution(sdist):
    """Also carry the sources that setuptools does not see behind cythonize, and all of the tests."""

    def make_distribution(self):
        for folder in ("ext", "tests"):
            self.filelist.graft(folder)
        self.filelist.global_exclude("*.py[cod]")
        super().make_distribution()


loops = [
    Extension(
        module,
        [
            f"ext/{module.removeprefix('kernelff.')}.pyx",
            *[source.replace(".c", "_dispatch.c") for source in sources if source.endswith(".c")],
        ],
        include_dirs=["ext"],
        define_macros=[("KERNELFF_X86", None)] if X86 else [],
        extra_compile_args=FLAGS,
        extra_link_args=["-pthread"],
        depends=sources,
    )
    for module, sources in LOOPS.items()
]
plain = Extension("kernelff._linalg", ["ext/_linalg.pyx"], extra_compile_args=FLAGS)
extensions = cythonize(
    [*loops, plain],
    build_dir="build/cython",
    compiler_directives={"language_level": 3, "boundscheck": False, "wraparound": False, "cdivision": True},
)

setup(ext_modules=extensions, cmdclass={"build_ext": BuildPerIsa, "sdist": SourceDistribution})

# Everything comes from Debian (12 or 13); scripts/setup installs it. README.md says what each is for.
include(${CMAKE_CURRENT_LIST_DIR}/kvpress-dependencies.cmake)
find_package(CLI11 REQUIRED)
# Line editing of `kvpress chat`: of the program, not of the library.
pkg_check_modules(libedit REQUIRED IMPORTED_TARGET libedit)
# Only `mpirun ... kvpress sweep` needs it.
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI COMPONENTS CXX)

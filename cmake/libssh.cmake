# The libssh that scripts/libssh.sh has built, static, as PkgConfig::SSH.
if(NOT EXISTS ${MULTISSH_LIBSSH}/lib/libssh.a)
  message(FATAL_ERROR "MULTISSH_LIBSSH: no lib/libssh.a in ${MULTISSH_LIBSSH}; build one with scripts/libssh.sh, which prints where it is")
endif()
add_library(PkgConfig::SSH STATIC IMPORTED)
set_target_properties(PkgConfig::SSH PROPERTIES
  IMPORTED_LOCATION ${MULTISSH_LIBSSH}/lib/libssh.a
  INTERFACE_INCLUDE_DIRECTORIES ${MULTISSH_LIBSSH}/include
  INTERFACE_COMPILE_DEFINITIONS LIBSSH_STATIC
  INTERFACE_LINK_LIBRARIES PkgConfig::OPENSSL)

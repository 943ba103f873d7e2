# The libraries of a Windows build: static, made by scripts/windows-libs.sh, under the names that pkg-config gives the system's.
if(NOT EXISTS "${MULTISSH_WINDOWS_LIBS}/lib/libssl.a")
  message(FATAL_ERROR "MULTISSH_WINDOWS_LIBS must name the folder that scripts/windows-libs.sh prints: make windows does all of it")
endif()
function(multissh_windows_library name file)
  add_library(PkgConfig::${name} STATIC IMPORTED)
  set_target_properties(PkgConfig::${name} PROPERTIES IMPORTED_LOCATION ${MULTISSH_WINDOWS_LIBS}/lib/${file})
  target_include_directories(PkgConfig::${name} INTERFACE ${MULTISSH_WINDOWS_LIBS}/include ${MULTISSH_WINDOWS_LIBS}/include/cjson)
  target_link_libraries(PkgConfig::${name} INTERFACE ${ARGN}) # what it needs comes behind it
endfunction()
multissh_windows_library(CRYPTO libcrypto.a ws2_32 crypt32 bcrypt gdi32 advapi32 user32)
multissh_windows_library(OPENSSL libssl.a PkgConfig::CRYPTO)
multissh_windows_library(UV libuv_a.a psapi user32 advapi32 iphlpapi userenv ws2_32 ole32 shell32 dbghelp)
multissh_windows_library(CJSON libcjson.a)
multissh_windows_library(SSH libssh.a PkgConfig::OPENSSL ws2_32 iphlpapi shell32)
multissh_windows_library(CMOCKA libcmocka-static.a)
target_compile_definitions(PkgConfig::SSH INTERFACE LIBSSH_STATIC)

# See src/ssh/CMakeLists.txt.
file(STRINGS ${MULTISSH_WINDOWS_LIBS}/versions libssh_version REGEX "^libssh ")
string(REPLACE "libssh " "" libssh_version "${libssh_version}")
execute_process(COMMAND dpkg --compare-versions "${libssh_version}" ge 0.10.6-0+deb12u3 RESULT_VARIABLE libssh_is_old)
set(MULTISSH_LIBSSH_GCM_UNCHECKED ${libssh_is_old})

# What Windows shows of a program and how it treats it: packaging/windows/program.rc.in and program.manifest.in.
function(multissh_windows_resources target description)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${target}.resources)
  configure_file(${CMAKE_SOURCE_DIR}/packaging/windows/program.rc.in ${folder}/program.rc @ONLY)
  configure_file(${CMAKE_SOURCE_DIR}/packaging/windows/program.manifest.in ${folder}/program.manifest @ONLY)
  add_custom_command(OUTPUT ${folder}/program.obj
    COMMAND ${CMAKE_RC_COMPILER} -O coff -I ${folder} -i ${folder}/program.rc -o ${folder}/program.obj
    DEPENDS ${folder}/program.rc ${folder}/program.manifest VERBATIM)
  target_sources(${target} PRIVATE ${folder}/program.obj)
endfunction()

# What `make install` (cmake --install) puts where. The programs look for each other in their own folder, so they stay together.
include(GNUInstallDirs)

foreach(program multissh-hub multissh-front multissh-relay multissh-agent multissh-sshd multissh)
  if(TARGET ${program})
    install(TARGETS ${program} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

file(GLOB man_pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/man/*.[1-9])
foreach(page ${man_pages})
  string(REGEX MATCH "[1-9]$" section ${page})
  install(FILES ${page} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()

# The paths in the units follow the prefix given at install time.
set(units multissh-hub.service multissh-agent.service multissh-sshd@.service multissh-sshd-key@.service)
install(CODE "
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  set(MULTISSH_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  foreach(unit ${units})
    configure_file(\"${CMAKE_SOURCE_DIR}/packaging/\${unit}.in\" \"${CMAKE_BINARY_DIR}/packaging/\${unit}\" @ONLY)
  endforeach()
")
list(TRANSFORM units PREPEND ${CMAKE_BINARY_DIR}/packaging/)
install(FILES ${units} ${CMAKE_SOURCE_DIR}/packaging/multissh-hub.socket ${CMAKE_SOURCE_DIR}/packaging/multissh-sshd.socket ${CMAKE_SOURCE_DIR}/packaging/multissh-sshd-key.socket
        DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/multissh.sysusers DESTINATION lib/sysusers.d RENAME multissh.conf)

# PAM reads /etc/pam.d alone; below any other prefix the file is only kept for whoever packs it. One that is there is the administrator's.
install(CODE "
  set(etc \"\${CMAKE_INSTALL_PREFIX}/etc\")
  if(CMAKE_INSTALL_PREFIX MATCHES \"^/usr(/local)?/?$\")
    set(etc /etc)
  endif()
  configure_file(\"${CMAKE_SOURCE_DIR}/packaging/multissh-sshd.pam\" \"${CMAKE_BINARY_DIR}/packaging/multissh-sshd\" COPYONLY)
  if(NOT EXISTS \"\$ENV{DESTDIR}\${etc}/pam.d/multissh-sshd\")
    file(INSTALL \"${CMAKE_BINARY_DIR}/packaging/multissh-sshd\" DESTINATION \"\${etc}/pam.d\")
  endif()
")

# What `make install` (cmake --install) puts where. The programs look for each other in their own folder, so they stay together.
include(GNUInstallDirs)

foreach(program multissh-hub multissh-front multissh-relay multissh-agent multissh-sshd)
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
install(CODE "
  set(prefix \"\${CMAKE_INSTALL_PREFIX}\")
  set(MULTISSH_BINDIR \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  foreach(unit multissh-hub.service multissh-agent.service)
    configure_file(\"${CMAKE_SOURCE_DIR}/packaging/\${unit}.in\" \"${CMAKE_BINARY_DIR}/packaging/\${unit}\" @ONLY)
  endforeach()
")
install(FILES ${CMAKE_BINARY_DIR}/packaging/multissh-hub.service ${CMAKE_BINARY_DIR}/packaging/multissh-agent.service
        DESTINATION lib/systemd/system)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/multissh.sysusers DESTINATION lib/sysusers.d RENAME multissh.conf)

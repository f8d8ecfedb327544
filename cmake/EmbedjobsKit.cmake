# The conformance suite as a kit for hosts that write a store, a persister or a catalog:
#   cmake --install BUILD --component conformance
# It is sources: the host's build compiles them, with the host's Catch2.
include(${PROJECT_SOURCE_DIR}/tests/conformance/sources.cmake)
set(embedjobs_kit_dir ${CMAKE_INSTALL_DATADIR}/embedjobs)
install(FILES
  ${embedjobs_conformance_sources}
  ${PROJECT_SOURCE_DIR}/tests/conformance/database.hpp
  ${PROJECT_SOURCE_DIR}/tests/conformance/model.hpp
  ${PROJECT_SOURCE_DIR}/tests/conformance/model_comparison.hpp
  ${PROJECT_SOURCE_DIR}/tests/conformance/scene.hpp
  ${PROJECT_SOURCE_DIR}/tests/conformance/sources.cmake
  DESTINATION ${embedjobs_kit_dir}/conformance COMPONENT conformance EXCLUDE_FROM_ALL)
install(FILES
  ${PROJECT_SOURCE_DIR}/tests/support/catch.hpp
  ${PROJECT_SOURCE_DIR}/tests/support/manual_clock.hpp
  ${PROJECT_SOURCE_DIR}/tests/support/results.hpp
  DESTINATION ${embedjobs_kit_dir}/support COMPONENT conformance EXCLUDE_FROM_ALL)
# find_package(embedjobs COMPONENTS conformance) includes this file, where it is installed.
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/embedjobsConformance.cmake.in
  ${PROJECT_BINARY_DIR}/embedjobsConformance.cmake
  INSTALL_DESTINATION ${embedjobs_cmake_dir} PATH_VARS embedjobs_kit_dir NO_CHECK_REQUIRED_COMPONENTS_MACRO)
install(FILES ${PROJECT_BINARY_DIR}/embedjobsConformance.cmake DESTINATION ${embedjobs_cmake_dir}
  COMPONENT conformance EXCLUDE_FROM_ALL)

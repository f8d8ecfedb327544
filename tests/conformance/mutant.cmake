# A store that leaves out what everything rests on must fail the kit: a case says so, and the program does not crash.
# cmake -DPROGRAM=... "-DCASE=name of a case that must fail" -P mutant.cmake
# With -DMAY_CRASH=TRUE only this case is run, or all of this tag, and a crash is a failure like any other. So is a
# store that hangs, since its maps are broken.
if(MAY_CRASH)
  execute_process(COMMAND ${PROGRAM} "${CASE}" RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors
    TIMEOUT 300)
  if(result EQUAL 0 OR NOT output MATCHES "conformance: [0-9]+ cases apply")
    message(FATAL_ERROR "'${CASE}' does not fail (exit ${result}):\n${output}${errors}")
  endif()
  message(STATUS "'${CASE}' fails (exit ${result})")
  return()
endif()
execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
string(APPEND output "${errors}")
if(NOT output MATCHES "test cases: +[0-9]+ \\| +[0-9]+ passed \\| +([0-9]+) failed")
  message(FATAL_ERROR "the suite did not end with failed cases (exit ${result}):\n${output}")
endif()
set(failed ${CMAKE_MATCH_1})
if(output MATCHES "fatal error condition")
  message(FATAL_ERROR "the store crashed:\n${output}")
endif()
string(REPLACE "," "\\," pattern "${CASE}")
execute_process(COMMAND ${PROGRAM} "${pattern}" RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE errors)
if(result EQUAL 0 OR NOT output MATCHES "test cases: +1 \\|( +0 passed \\|)? +1 failed")
  message(FATAL_ERROR "the case '${CASE}' does not fail (exit ${result}):\n${output}${errors}")
endif()
message(STATUS "${failed} cases fail, '${CASE}' among them")

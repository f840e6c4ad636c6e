@echo off
rem Takes the updates of all Outlook profiles back. From a logon script it does so on every workstation.
rem Keep this file beside ClientProfileUpdatingUtility.exe and CPUU.ini.
setlocal
"%~dp0ClientProfileUpdatingUtility.exe" -UndoAll -INI "%~dp0CPUU.ini" -Log "%~dp0CPUU_#h_#d_#t.log"
set "result=%errorlevel%"

rem The result is a bit mask. Test its bits, not its size: "if errorlevel 4" is also true for 513.
set /a "bit=result & 4"
if not "%bit%"=="0" echo A profile could not be rolled back; see the log.

rem For Intune or Configuration Manager, which want 0 for success, take the next lines instead:
rem set /a "done=result & 1", "failed=result & 28"
rem if not "%failed%"=="0" exit /b 1
rem exit /b 0
exit /b %result%

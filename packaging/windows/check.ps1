#requires -Version 5.1
<#
.SYNOPSIS
    Checks multissh-agent.exe, multissh-sshd.exe and multissh.exe on this Windows machine, and prints a report.

.DESCRIPTION
    Run it in Windows PowerShell 5.1 or later from the folder of the unpacked zip, on 64-bit Windows 10 1809, Server 2019 or
    later. It uses Windows' own OpenSSH client (ssh, sftp, scp, ssh-keygen) and needs no hub: ssh starts multissh-sshd as its
    ProxyCommand. What needs the rights of an administrator (the service, tokens of other accounts, the event log) is left
    out, and said to be, unless PowerShell was opened with "Run as administrator".

    Everything it makes is in folders of its own (in %TEMP%; elevated, also in %ProgramFiles% and %ProgramData%), and is
    removed at the end, as are the service, the task and the account that it makes. A service multissh-agent that is there
    already is not touched: the checks that need one are left out then.

    This script was written without a Windows machine and has not been run on one yet: where a line makes no sense, suspect
    this script as well as the programs. Sessions under Wine are tested by tests/windows in the sources.

.PARAMETER Join
    HOST:PORT/CODE as `multissh-hub invite` prints it: the service is joined to that hub.
.PARAMETER HubLogin
    USER@HOST:PORT: how you log in to that hub with your own key; then the machine is reached through it, too.
.PARAMETER WithTestAccount
    Lets the script make a local account, multissh-check, and remove it at the end: for logins by key and by password as
    another account than one's own. Needs elevation.
.PARAMETER Megabytes
    The size of the big transfers.
.PARAMETER Report
    The file that the report is written to as well.

.EXAMPLE
    powershell -ExecutionPolicy Bypass -File .\check.ps1
.EXAMPLE
    powershell -ExecutionPolicy Bypass -File .\check.ps1 -WithTestAccount -Join hub.example:2244/CODE -HubLogin alice@hub.example:2244

.NOTES
    Ends with 0 when nothing failed, 1 when something did, 2 when nothing could be checked.
#>
[CmdletBinding()]
param(
    [string]$Join,
    [string]$HubLogin,
    [switch]$WithTestAccount,
    [ValidateRange(1, 10000)][int]$Megabytes = 100,
    [string]$Report = (Join-Path (Get-Location).ProviderPath ('multissh-check-{0:yyyyMMdd-HHmmss}.txt' -f (Get-Date)))
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

$Here = Split-Path -Parent $MyInvocation.MyCommand.Path
$Tag = [Guid]::NewGuid().ToString('N').Substring(0, 8)
$Service = 'multissh-agent'
$TestAccount = 'multissh-check'
$TaskName = "multissh-check-$Tag"
$Lines = New-Object System.Collections.ArrayList
$Undo = New-Object System.Collections.ArrayList
$Failed = 0
$Passed = 0
$Skipped = 0

# --- the report ---

function Write-Line([string]$Text, [string]$Colour = 'Gray') {
    Write-Host $Text -ForegroundColor $Colour
    [void]$Lines.Add($Text)
}

function Write-Result([string]$Result, [string]$What, [string]$Detail) {
    $detailLine = ($Detail -replace '\s+', ' ').Trim()
    if ($detailLine.Length -gt 400) { $detailLine = $detailLine.Substring(0, 400) + ' ...' }
    $colour = @{ PASS = 'Green'; FAIL = 'Red'; SKIP = 'Yellow' }[$Result]
    $text = '{0}  {1}' -f $Result, $What
    if ($detailLine) { $text += ": $detailLine" }
    Write-Line $text $colour
}

# "line 123": where a check failed, and not where Assert is.
function Where-From($Record) {
    foreach ($frame in ("$($Record.ScriptStackTrace)" -split "`r?`n")) {
        if ($frame -notmatch 'at (Assert|Assert-Ok|Skip|Wait-Until|Wait-Program),' -and $frame -match '(\d+)\s*$') { return "line $($Matches[1])" }
    }
    return 'somewhere'
}

# Runs a check: the body throws when it fails, and may return a detail to show. "SKIP: why" is thrown by Skip.
function Check([string]$What, [scriptblock]$Body) {
    try {
        $detail = & $Body | Select-Object -Last 1
        $script:Passed++
        Write-Result 'PASS' $What "$detail"
    } catch {
        $words = $_.Exception.Message
        if ($words.StartsWith('SKIP: ')) {
            $script:Skipped++
            Write-Result 'SKIP' $What $words.Substring(6)
        } else {
            $script:Failed++
            Write-Result 'FAIL' $What "$words [$(Where-From $_)]"
        }
    }
}

function Skip([string]$Why) { throw "SKIP: $Why" }

function Assert([bool]$Is, [string]$Words) {
    if (-not $Is) { throw $Words }
}

function Wait-Until([string]$What, [int]$Seconds, [scriptblock]$Condition) {
    $end = (Get-Date).AddSeconds($Seconds)
    do {
        $value = & $Condition
        if ($value) { return $value }
        Start-Sleep -Milliseconds 100
    } while ((Get-Date) -lt $end)
    throw "not within $Seconds s: $What"
}

# --- running programs ---

# One argument as a program's start code takes it apart again.
function Quote([string]$Word) {
    if ($Word -ne '' -and $Word -notmatch '[\s"]') { return $Word }
    $text = $Word -replace '(\\*)"', '$1$1\"'
    $text = $text -replace '(\\+)$', '$1$1'
    return '"' + $text + '"'
}

function Quote-All([string[]]$Words) { return (($Words | ForEach-Object { Quote $_ }) -join ' ') }

# Starts a program with its three streams in pipes, as bytes.
function Start-Program([string]$File, [string[]]$Words) {
    $info = New-Object System.Diagnostics.ProcessStartInfo
    $info.FileName = $File
    $info.Arguments = Quote-All $Words
    $info.UseShellExecute = $false
    $info.CreateNoWindow = $true
    $info.RedirectStandardInput = $true
    $info.RedirectStandardOutput = $true
    $info.RedirectStandardError = $true
    $process = [System.Diagnostics.Process]::Start($info)
    $out = New-Object System.IO.MemoryStream
    $err = New-Object System.IO.MemoryStream
    return @{
        Process = $process; Out = $out; Err = $err
        OutTask = $process.StandardOutput.BaseStream.CopyToAsync($out)
        ErrTask = $process.StandardError.BaseStream.CopyToAsync($err)
    }
}

function Stop-Tree([int]$Id) {
    [void](Wait-Program (Start-Program "$env:SystemRoot\System32\taskkill.exe" @('/f', '/t', '/pid', "$Id")) 30)
}

# Waits for its end: status, output and errors, as bytes and as text.
function Wait-Program($Started, [int]$Seconds = 60) {
    $process = $Started.Process
    if (-not $process.WaitForExit($Seconds * 1000)) {
        Stop-Tree $process.Id
        throw "$($process.StartInfo.FileName) $($process.StartInfo.Arguments): not done within $Seconds s"
    }
    foreach ($task in @($Started.OutTask, $Started.ErrTask)) {
        if (-not $task.Wait(10000)) { throw "$($process.StartInfo.FileName): it has ended, but its output is still held open" }
    }
    $utf8 = New-Object System.Text.UTF8Encoding $false
    return @{
        Status = $process.ExitCode; Bytes = $Started.Out.ToArray()
        Out = $utf8.GetString($Started.Out.ToArray()); Err = $utf8.GetString($Started.Err.ToArray())
    }
}

function Close-Input($Started) {
    # Not StandardInput.Close(): that would write a byte order mark where the code page is UTF-8.
    $Started.Process.StandardInput.BaseStream.Close()
}

# Runs a program to its end. Data: what it gets as standard input; InputFile: the same from a file.
function Invoke-Program([string]$File, [string[]]$Words, [byte[]]$Data = $null, [string]$InputFile = '', [int]$Seconds = 60) {
    $started = Start-Program $File $Words
    try {
        $stream = $started.Process.StandardInput.BaseStream
        if ($null -ne $Data -and $Data.Length -gt 0) { $stream.Write($Data, 0, $Data.Length) }
        if ($InputFile) {
            $source = [System.IO.File]::OpenRead($InputFile)
            try { $source.CopyTo($stream) } finally { $source.Close() }
        }
        Close-Input $started
    } catch [System.IO.IOException] {
        # It has ended, or reads no more: its status and words tell.
    }
    return (Wait-Program $started $Seconds)
}

# Changes an access list.
function Set-Rights([string[]]$Words) { Assert-Ok (Invoke-Program "$env:SystemRoot\System32\icacls.exe" $Words) }

function Show($Done) { return "status $($Done.Status); out: $($Done.Out); err: $($Done.Err)" }

function Assert-Ok($Done) { Assert ($Done.Status -eq 0) (Show $Done) }

function Text-Bytes([string]$Text) { return , ((New-Object System.Text.UTF8Encoding $false).GetBytes($Text)) }

# A command that PowerShell runs on the other side, whatever shell takes it.
function Encoded([string]$Script) {
    return 'powershell -NoProfile -NonInteractive -EncodedCommand ' + [Convert]::ToBase64String([System.Text.Encoding]::Unicode.GetBytes($Script))
}

# --- a terminal of our own: ssh in a pseudo console ---

$Terminal = @'
using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using System.Threading;
using Microsoft.Win32.SafeHandles;

public sealed class CheckTerminal : IDisposable
{
    [StructLayout(LayoutKind.Sequential)]
    struct Coord { public short X, Y; }

    [StructLayout(LayoutKind.Sequential, CharSet = CharSet.Unicode)]
    struct StartupInfo
    {
        public int cb; public IntPtr lpReserved, lpDesktop, lpTitle; public int dwX, dwY, dwXSize, dwYSize, dwXCountChars, dwYCountChars, dwFillAttribute, dwFlags;
        public short wShowWindow, cbReserved2; public IntPtr lpReserved2, hStdInput, hStdOutput, hStdError;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct StartupInfoEx { public StartupInfo info; public IntPtr attributes; }

    [StructLayout(LayoutKind.Sequential)]
    struct ProcessInformation { public IntPtr process, thread; public int processId, threadId; }

    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool CreatePipe(out SafeFileHandle read, out SafeFileHandle write, IntPtr security, int size);
    [DllImport("kernel32.dll")]
    static extern int CreatePseudoConsole(Coord size, SafeFileHandle input, SafeFileHandle output, uint flags, out IntPtr console);
    [DllImport("kernel32.dll")]
    static extern int ResizePseudoConsole(IntPtr console, Coord size);
    [DllImport("kernel32.dll")]
    static extern void ClosePseudoConsole(IntPtr console);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool InitializeProcThreadAttributeList(IntPtr list, int count, int flags, ref IntPtr size);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool UpdateProcThreadAttribute(IntPtr list, uint flags, IntPtr attribute, IntPtr value, IntPtr size, IntPtr previous, IntPtr returned);
    [DllImport("kernel32.dll", SetLastError = true, CharSet = CharSet.Unicode)]
    static extern bool CreateProcessW(string application, StringBuilder commandLine, IntPtr processSecurity, IntPtr threadSecurity, bool inherit, uint flags,
        IntPtr environment, string folder, ref StartupInfoEx startup, out ProcessInformation made);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool GetExitCodeProcess(IntPtr process, out uint code);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern uint WaitForSingleObject(IntPtr handle, uint milliseconds);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool TerminateProcess(IntPtr process, uint code);
    [DllImport("kernel32.dll", SetLastError = true)]
    static extern bool CloseHandle(IntPtr handle);

    IntPtr console, attributes;
    ProcessInformation process;
    FileStream keyboard, screen;
    readonly StringBuilder shown = new StringBuilder();
    int at;

    public CheckTerminal(string commandLine, short columns, short rows)
    {
        SafeFileHandle inputRead, inputWrite, outputRead, outputWrite;
        if (!CreatePipe(out inputRead, out inputWrite, IntPtr.Zero, 0) || !CreatePipe(out outputRead, out outputWrite, IntPtr.Zero, 0))
            throw new Win32Exception();
        Coord size; size.X = columns; size.Y = rows;
        int result = CreatePseudoConsole(size, inputRead, outputWrite, 0, out console);
        if (result != 0) throw new Win32Exception(result, "CreatePseudoConsole failed: 0x" + result.ToString("X8"));
        inputRead.Close();
        outputWrite.Close();

        IntPtr bytes = IntPtr.Zero;
        InitializeProcThreadAttributeList(IntPtr.Zero, 1, 0, ref bytes);
        attributes = Marshal.AllocHGlobal(bytes);
        StartupInfoEx startup = new StartupInfoEx();
        startup.info.cb = Marshal.SizeOf(typeof(StartupInfoEx));
        startup.info.dwFlags = 0x100; // STARTF_USESTDHANDLES, with none: nothing of ours is passed on
        startup.attributes = attributes;
        if (!InitializeProcThreadAttributeList(attributes, 1, 0, ref bytes) ||
            !UpdateProcThreadAttribute(attributes, 0, (IntPtr)0x00020016, console, (IntPtr)IntPtr.Size, IntPtr.Zero, IntPtr.Zero) ||
            !CreateProcessW(null, new StringBuilder(commandLine), IntPtr.Zero, IntPtr.Zero, false, 0x00080000, IntPtr.Zero, null, ref startup, out process))
            throw new Win32Exception();
        keyboard = new FileStream(inputWrite, FileAccess.Write, 1);
        screen = new FileStream(outputRead, FileAccess.Read, 1);
        Thread reader = new Thread(Read);
        reader.IsBackground = true;
        reader.Start();
    }

    public int ProcessId { get { return process.processId; } }

    void Read()
    {
        Decoder decoder = Encoding.UTF8.GetDecoder();
        byte[] block = new byte[65536];
        char[] text = new char[65536 + 16];
        try
        {
            int n;
            while ((n = screen.Read(block, 0, block.Length)) > 0)
            {
                int k = decoder.GetChars(block, 0, n, text, 0);
                lock (shown) { shown.Append(text, 0, k); Monitor.PulseAll(shown); }
            }
        }
        catch (IOException) { }
        catch (ObjectDisposedException) { }
    }

    public void Type(string text)
    {
        byte[] bytes = new UTF8Encoding(false).GetBytes(text);
        keyboard.Write(bytes, 0, bytes.Length);
        keyboard.Flush();
    }

    public void Resize(short columns, short rows)
    {
        Coord size; size.X = columns; size.Y = rows;
        int result = ResizePseudoConsole(console, size);
        if (result != 0) throw new Win32Exception(result, "ResizePseudoConsole failed: 0x" + result.ToString("X8"));
    }

    // What was drawn, with the colours and without the rest of the control sequences.
    public string Raw { get { lock (shown) { return shown.ToString(); } } }

    static readonly Regex Sequences = new Regex("\x1b(\\[[0-9;?<>=!]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[()][A-Za-z0-9]|[ -/]*[0-~])");

    static string Plain(string text) { return Sequences.Replace(text, ""); }

    public string Text { get { return Plain(Raw); } }

    // Waits for the pattern in what is drawn after what was waited for last. Sequences count as nothing.
    public string Expect(string pattern, int seconds)
    {
        Regex wanted = new Regex(pattern);
        DateTime end = DateTime.UtcNow.AddSeconds(seconds);
        lock (shown)
        {
            for (;;)
            {
                string text = Plain(shown.ToString(at, shown.Length - at));
                Match match = wanted.Match(text);
                if (match.Success)
                {
                    at = shown.Length;
                    return match.Value;
                }
                int left = (int)(end - DateTime.UtcNow).TotalMilliseconds;
                if (left <= 0)
                    throw new TimeoutException("not shown within " + seconds + " s: " + pattern + "; the terminal showed: " + Plain(shown.ToString()));
                Monitor.Wait(shown, Math.Min(left, 200));
            }
        }
    }

    public uint WaitExit(int seconds)
    {
        if (WaitForSingleObject(process.process, (uint)seconds * 1000) != 0)
            throw new TimeoutException("the program at the terminal did not end within " + seconds + " s; it showed: " + Text);
        uint code;
        if (!GetExitCodeProcess(process.process, out code)) throw new Win32Exception();
        return code;
    }

    public void Kill() { TerminateProcess(process.process, 1); }

    public void Dispose()
    {
        if (process.process != IntPtr.Zero)
        {
            TerminateProcess(process.process, 1);
            CloseHandle(process.process);
            CloseHandle(process.thread);
            process.process = IntPtr.Zero;
        }
        if (console != IntPtr.Zero)
        {
            // The reader still drains: before Windows 11 24H2 this waits until all has been read.
            ClosePseudoConsole(console);
            console = IntPtr.Zero;
        }
        keyboard.Dispose();
        screen.Dispose();
        Marshal.FreeHGlobal(attributes);
    }
}
'@

# Runs the body with a terminal in which ssh runs, and ends it.
function With-Terminal([string[]]$Words, [scriptblock]$Body, [int]$Columns = 100, [int]$Rows = 30, [string]$Config = $script:ClientConfig) {
    Assert $script:HaveTerminal $script:NoTerminal
    $all = @('-F', $Config, '-tt') + $Words
    $terminal = New-Object CheckTerminal -ArgumentList @(((Quote $script:Ssh) + ' ' + (Quote-All $all)), [int16]$Columns, [int16]$Rows)
    try { & $Body $terminal } finally { $terminal.Dispose() }
}

# --- the machine ---

$Windows = Get-CimInstance Win32_OperatingSystem
$Identity = [Security.Principal.WindowsIdentity]::GetCurrent()
$Elevated = (New-Object Security.Principal.WindowsPrincipal $Identity).IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)
$Me = $Identity.Name.Split('\')[-1]
$Build = [int]$Windows.BuildNumber

function Find-Tool([string]$Name) {
    $own = Join-Path $env:SystemRoot "System32\OpenSSH\$Name"
    if (Test-Path -LiteralPath $own) { return $own }
    $other = Get-Command $Name -CommandType Application -ErrorAction SilentlyContinue | Select-Object -First 1
    if ($other) { return $other.Path }
    return ''
}

function Stop-Here([string]$Words) {
    Write-Line "Nothing can be checked: $Words" 'Red'
    $Lines | Out-File -FilePath $Report -Encoding utf8
    exit 2
}

Write-Line "multiSSH on $($Windows.Caption) $($Windows.Version), PowerShell $($PSVersionTable.PSVersion), $(if ($Elevated) { 'elevated' } else { 'not elevated' }), $($Identity.Name), $(Get-Date -Format u)"
if (-not [Environment]::Is64BitProcess) { Stop-Here 'this is a 32-bit PowerShell; use the one in %SystemRoot%\System32\WindowsPowerShell' }
if ($Build -lt 17763) { Stop-Here "Windows 10 1809 (build 17763) is the first that has pseudo consoles; this is build $Build" }
foreach ($name in 'multissh-agent.exe', 'multissh-sshd.exe', 'multissh.exe') {
    if (-not (Test-Path -LiteralPath (Join-Path $Here $name))) { Stop-Here "$name is not beside this script in $Here" }
}
$Ssh = Find-Tool 'ssh.exe'
$Sftp = Find-Tool 'sftp.exe'
$Scp = Find-Tool 'scp.exe'
$Keygen = Find-Tool 'ssh-keygen.exe'
if (-not ($Ssh -and $Sftp -and $Scp -and $Keygen)) {
    Stop-Here 'the OpenSSH client is missing: Settings, Apps, Optional features, OpenSSH Client (or: Add-WindowsCapability -Online -Name OpenSSH.Client~~~~0.0.1.0)'
}

$HaveTerminal = $true
$NoTerminal = ''
try { Add-Type -TypeDefinition $Terminal -Language CSharp -IgnoreWarnings } catch { $HaveTerminal = $false; $NoTerminal = "this script's terminal cannot be compiled: $($_.Exception.Message)" }

# --- folders, keys, settings ---

function New-Folder([string]$Path) {
    [void](New-Item -ItemType Directory -Path $Path)
    return $Path
}

# Without blanks: what stands in a ProxyCommand is taken apart by ssh, which has its own ideas of quotes on Windows.
function Short-Path([string]$Path) {
    if ($Path -notmatch '\s') { return $Path }
    $short = (New-Object -ComObject Scripting.FileSystemObject).GetFolder($Path).ShortPath
    if ($short -match '\s') { Stop-Here "the folder $Path has blanks in its name and no short one; set TEMP to a folder without" }
    return $short
}

function Remove-Folder([string]$Path) {
    for ($try = 0; $try -lt 50 -and (Test-Path -LiteralPath $Path); $try++) {
        # rd takes paths over 260 characters, and does not follow links.
        [void](Invoke-Program "$env:SystemRoot\System32\cmd.exe" @('/d', '/c', 'rd', '/s', '/q', "\\?\$Path"))
        if (Test-Path -LiteralPath $Path) { Start-Sleep -Milliseconds 200 }
    }
    if (Test-Path -LiteralPath $Path) { throw "the folder $Path cannot be removed" }
}

function New-Key([string]$Path) {
    $done = Invoke-Program $Keygen @('-q', '-t', 'ed25519', '-N', '', '-C', 'multissh-check', '-f', $Path)
    Assert-Ok $done
    return ([IO.File]::ReadAllText("$Path.pub").Trim() -split ' ')[0..1] -join ' '
}

function Write-File([string]$Path, [string]$Text) {
    [IO.File]::WriteAllText($Path, $Text, (New-Object System.Text.UTF8Encoding $false))
}

function Forward([string]$Path) { return $Path.Replace('\', '/') }

# A client's configuration in which "box" is a server. Where: lines that say how it is reached.
function New-Client([string]$Name, [string]$Login, [string]$Key, [string[]]$Where, [string]$HostKey) {
    $known = Join-Path $Work "known-$Name"
    Write-File $known "box $HostKey`n"
    $config = Join-Path $Work "config-$Name"
    $text = @('Host box') + $Where + @(
        "User $Login", "IdentityFile $(Forward $Key)", 'IdentitiesOnly yes', "UserKnownHostsFile $(Forward $known)", 'GlobalKnownHostsFile NUL',
        'HostKeyAlias box', 'StrictHostKeyChecking yes', 'BatchMode yes', 'PasswordAuthentication no', 'KbdInteractiveAuthentication no')
    Write-File $config (($text -join "`n") + "`n")
    return $config
}

function Invoke-Ssh([string[]]$Words, [byte[]]$Data = $null, [string]$InputFile = '', [int]$Seconds = 60, [string]$Config = $script:ClientConfig) {
    return (Invoke-Program $Ssh (@('-F', $Config) + $Words) -Data $Data -InputFile $InputFile -Seconds $Seconds)
}

# A configuration in which "hub" is the hub, with the keys that whoever runs this has, and "machine" the one of this script's service.
function New-HubClient([string]$Login, [string]$Key) {
    if ($HubLogin -notmatch '^(.+)@\[?([^@\]]+?)\]?(?::(\d+))?$') { throw "-HubLogin is USER@HOST:PORT, and not $HubLogin" }
    $user, $name, $port = $Matches[1], $Matches[2], '2244'
    if ($Matches.ContainsKey(3)) { $port = $Matches[3] }
    $config = Join-Path $Work 'config-hub'
    $common = @("UserKnownHostsFile $(Forward (Join-Path $Work 'known-hub'))", 'StrictHostKeyChecking accept-new', 'BatchMode yes')
    $text = @('Host hub', "HostName $name", "Port $port", "User $user") + $common + @('Host machine', "HostName $ServiceName", 'ProxyJump hub', "User $Login",
        "IdentityFile $(Forward $Key)", 'IdentitiesOnly yes') + $common
    Write-File $config (($text -join "`n") + "`n")
    return $config
}

# A server started by ssh, with a state folder and settings of its own.
function New-Server([string]$Name, [string]$Settings, [string]$Key = $ClientKey) {
    $state = New-Folder (Join-Path $Work "state-$Name")
    Write-File (Join-Path $state 'sshd.conf') "authorized-keys = $AuthorizedKeys`n$Settings`n"
    $done = Invoke-Program $Sshd @('--state', $state, '--print-host-key')
    Assert-Ok $done
    $proxy = "ProxyCommand $Sshd --inetd --peer 192.0.2.7:54321 --state $state"
    return (New-Client $Name $Me $Key @($proxy) $done.Out.Trim())
}

function Mine {
    # Processes that come from this script's folders, or carry its tag in their command line; but not this script.
    return @(Get-CimInstance Win32_Process | Where-Object {
            $_.ProcessId -ne $PID -and (("$($_.ExecutablePath)" -like "*$Tag*") -or ("$($_.CommandLine)" -like "*$Tag*"))
        })
}

$Work = New-Folder (Join-Path (Short-Path ([IO.Path]::GetTempPath().TrimEnd('\'))) "multissh-check-$Tag")
[void]$Undo.Add(@{ What = "the folder $Work"; How = { Remove-Folder $Work } })

try {
    $Bin = New-Folder (Join-Path $Work 'bin')
    foreach ($name in 'multissh-agent.exe', 'multissh-sshd.exe', 'multissh.exe') { Copy-Item -LiteralPath (Join-Path $Here $name) -Destination $Bin }
    $Agent = Join-Path $Bin 'multissh-agent.exe'
    $Sshd = Join-Path $Bin 'multissh-sshd.exe'
    $Client = Join-Path $Bin 'multissh.exe'
    $Files = New-Folder (Join-Path $Work 'files')
    $ClientKey = Join-Path $Work 'key'
    $ClientPublic = New-Key $ClientKey
    $AuthorizedKeys = Join-Path $Work 'authorized_keys'
    Write-File $AuthorizedKeys "$ClientPublic check`r`n"

    $version = (Invoke-Program $Ssh @('-V')).Err.Trim()
    Write-Line "The client: $version"
    $clientMajor = 0
    if ($version -match 'OpenSSH_for_Windows_(\d+)\.|OpenSSH_(\d+)\.') { $clientMajor = [int]($Matches[1] + $Matches[2]) }

    # --- the programs ---

    foreach ($program in $Agent, $Sshd, $Client) {
        $name = [IO.Path]::GetFileNameWithoutExtension($program)
        Check "$name --version and --help" {
            $done = Invoke-Program $program @('--version')
            Assert-Ok $done
            Assert ($done.Out -match "^$name \d+\.\d+\.\d+\s*$") (Show $done)
            Assert-Ok (Invoke-Program $program @('--help'))
            $done.Out.Trim()
        }
        Check "$name names a wrong option and ends with 2" {
            $done = Invoke-Program $program @('--no-such-option')
            Assert ($done.Status -eq 2 -and $done.Err -match 'no-such-option') (Show $done)
        }
    }

    $ClientConfig = $null
    Check 'the host key is made once' {
        $script:ClientConfig = New-Server 'plain' ''
        $state = Join-Path $Work 'state-plain'
        $first = Invoke-Program $Sshd @('--state', $state, '--print-host-key')
        $second = Invoke-Program $Sshd @('--state', $state, '--print-host-key')
        Assert ($first.Out -eq $second.Out -and $first.Out -match '^(ssh|ecdsa)-') "$(Show $first); $(Show $second)"
        $first.Out
    }
    if (-not $ClientConfig) { throw 'without a server nothing more can be checked' }

    # --- commands ---

    Check 'a command' {
        $done = Invoke-Ssh @('box', 'echo hello')
        Assert ($done.Status -eq 0 -and $done.Out.Trim() -eq 'hello') (Show $done)
    }
    Check 'as the user who runs it' {
        $done = Invoke-Ssh @('box', 'whoami')
        Assert ($done.Out.Trim() -eq $Identity.Name) (Show $done)
        $done.Out
    }
    Check 'exit statuses' {
        foreach ($status in 0, 1, 2, 7, 127, 128, 254, 255) {
            $done = Invoke-Ssh @('box', "exit $status")
            Assert ($done.Status -eq $status) "exit $status gave $(Show $done)"
        }
        $done = Invoke-Ssh @('box', 'no-such-program-at-all')
        Assert ($done.Status -ne 0 -and $done.Status -ne 255 -and $done.Err -match 'no-such-program') (Show $done)
    }
    Check 'standard output and standard error apart' {
        $done = Invoke-Ssh @('box', 'echo out& echo err 1>&2& exit 5')
        Assert ($done.Status -eq 5 -and $done.Out.Trim() -eq 'out' -and $done.Err.Trim() -eq 'err') (Show $done)
    }
    Check 'standard input and its end' {
        $text = (1..500 | ForEach-Object { "line $_" }) -join "`r`n"
        $done = Invoke-Ssh @('box', 'findstr /n "^"') -Data (Text-Bytes "$text`r`n")
        Assert ($done.Status -eq 0 -and $done.Out -match '(?m)^500:line 500\s*$') (Show $done)
        $done = Invoke-Ssh @('box', 'sort') -Data (Text-Bytes "b`r`na`r`n")
        Assert (($done.Out -replace '\s', '') -eq 'ab') (Show $done)
        $done = Invoke-Ssh @('box', 'more')
        Assert ($done.Status -eq 0) "more, without any input: $(Show $done)"
    }
    Check 'the environment' {
        $done = Invoke-Ssh @('-o', 'SendEnv=LC_MULTISSH', '-o', 'SetEnv=LC_MULTISSH=sent', 'box', 'set')
        foreach ($pattern in '(?m)^LC_MULTISSH=sent\s*$', "(?mi)^USERNAME=$([regex]::Escape($Me))\s*`$", '(?m)^SSH_CONNECTION=192\.0\.2\.7 54321 ', '(?mi)^SystemRoot=', '(?mi)^TEMP=') {
            Assert ($done.Out -match $pattern) "$pattern is not in: $($done.Out)"
        }
        $done = Invoke-Ssh @('box', 'cd')
        Assert ($done.Out.Trim() -eq $env:USERPROFILE) "it begins in $($done.Out.Trim()), and the profile is $env:USERPROFILE"
    }
    Check 'letters of all scripts in words' {
        $word = -join [char[]](0xE4, 0x65E5, 0x672C, 0x438)
        $done = Invoke-Ssh @('box', "powershell -NoProfile -NonInteractive -Command ""[Console]::OutputEncoding = [Text.Encoding]::UTF8; '$word'""")
        # The byte order mark is PowerShell's.
        Assert ($done.Out.Trim([char]0xFEFF, ' ', "`r", "`n") -eq $word) (Show $done)
    }

    $Big = Join-Path $Work 'big.bin'
    Check "a file of $Megabytes MB is made" {
        $random = New-Object System.Security.Cryptography.RNGCryptoServiceProvider
        $block = New-Object byte[] (1MB)
        $stream = [IO.File]::Create($Big)
        try {
            for ($i = 0; $i -lt $Megabytes; $i++) { $random.GetBytes($block); $stream.Write($block, 0, $block.Length) }
        } finally { $stream.Close() }
        $script:BigHash = (Get-FileHash -LiteralPath $Big -Algorithm SHA256).Hash
        $script:BigHash
    }
    Check "$Megabytes MB as standard input of a command" {
        $clock = [Diagnostics.Stopwatch]::StartNew()
        $code = "`$i = [Console]::OpenStandardInput(); [BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash(`$i)).Replace('-', '')"
        $done = Invoke-Ssh @('box', (Encoded $code)) -InputFile $Big -Seconds 900
        Assert ($done.Out.Trim() -eq $BigHash) (Show $done)
        '{0:N0} MB/s' -f ($Megabytes / $clock.Elapsed.TotalSeconds)
    }
    Check "$Megabytes MB as standard output of a command" {
        $clock = [Diagnostics.Stopwatch]::StartNew()
        $done = Invoke-Ssh @('box', (Encoded "`$o = [Console]::OpenStandardOutput(); `$f = [IO.File]::OpenRead('$Big'); `$f.CopyTo(`$o); `$o.Flush()")) -Seconds 900
        $hash = [BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash([byte[]]$done.Bytes)).Replace('-', '')
        Assert ($done.Status -eq 0 -and $hash -eq $BigHash) "$($done.Bytes.Length) bytes came, status $($done.Status): $($done.Err)"
        '{0:N0} MB/s' -f ($Megabytes / $clock.Elapsed.TotalSeconds)
    }
    Check '20 sessions at once' {
        $all = @(1..20 | ForEach-Object { Start-Program $Ssh @('-F', $ClientConfig, 'box', "findstr ""^""& exit $_") })
        foreach ($i in 1..20) { $bytes = Text-Bytes "session $i`r`n"; $all[$i - 1].Process.StandardInput.BaseStream.Write($bytes, 0, $bytes.Length) }
        foreach ($one in $all) { Close-Input $one }
        foreach ($i in 1..20) {
            $done = Wait-Program $all[$i - 1] 120
            Assert ($done.Status -eq $i -and $done.Out.Trim() -eq "session $i") "session ${i}: $(Show $done)"
        }
    }
    Check 'a client that is killed leaves no process' {
        $mark = "multissh-$Tag-tree"
        # A shell, in it a shell, in it a program; all have the mark in their command lines.
        $started = Start-Program $Ssh @('-F', $ClientConfig, 'box', "cmd /d /c ""title $mark& ping -n 600 127.0.0.1 >NUL""")
        [void](Wait-Until 'the tree runs' 30 { @(Get-CimInstance Win32_Process -Filter "Name = 'cmd.exe'" | Where-Object { "$($_.CommandLine)" -like "*$mark*" }).Count -ge 1 })
        $server = @(Get-CimInstance Win32_Process -Filter "Name = 'multissh-sshd.exe'" | Where-Object { "$($_.ExecutablePath)" -like "*$Tag*" })
        Assert ($server.Count -ge 1) 'its server is not found'
        $ids = @($server | ForEach-Object { $_.ProcessId })
        $tree = New-Object System.Collections.ArrayList
        $todo = @($ids)
        while ($todo.Count -gt 0) {
            $children = @(Get-CimInstance Win32_Process | Where-Object { $todo -contains $_.ParentProcessId -and $_.ProcessId -ne 0 })
            $todo = @($children | ForEach-Object { $_.ProcessId })
            foreach ($id in $todo) { [void]$tree.Add($id) }
        }
        Assert ($tree.Count -ge 2) "only $($tree.Count) processes below the server"
        $started.Process.Kill()
        [void](Wait-Until 'the server and all below it have ended' 20 {
                @(Get-Process -Id (@($ids) + @($tree)) -ErrorAction SilentlyContinue | Where-Object { $_.ProcessName -match 'multissh|cmd|ping|conhost' }).Count -eq 0
            })
        "$($tree.Count) processes below the server"
    }
    Check 'what was started with start /b ends with the session' {
        $mark = "60$([Convert]::ToInt32($Tag.Substring(0, 4), 16))"
        # It holds the output open, so the client waits, until it is ended.
        $started = Start-Program $Ssh @('-F', $ClientConfig, 'box', "start /b ping -n $mark 127.0.0.1 >NUL 2>NUL <NUL& echo done")
        [void](Wait-Until 'ping runs' 30 { @(Get-CimInstance Win32_Process -Filter "Name = 'PING.EXE'" | Where-Object { "$($_.CommandLine)" -like "*$mark*" }).Count -eq 1 })
        if (-not $started.Process.HasExited) { $started.Process.Kill() }
        [void](Wait-Until 'ping has ended' 15 { @(Get-CimInstance Win32_Process -Filter "Name = 'PING.EXE'" | Where-Object { "$($_.CommandLine)" -like "*$mark*" }).Count -eq 0 })
    }

    # --- other shells ---

    Check 'PowerShell as the shell' {
        $config = New-Server 'powershell' 'shell = powershell'
        $done = Invoke-Ssh @('box', "'a' + 'b'; [Console]::Error.WriteLine('aside'); exit 6") -Config $config
        Assert ($done.Status -eq 6 -and $done.Out.Trim() -eq 'ab' -and $done.Err -match 'aside') (Show $done)
        With-Terminal @('box') -Config $config {
            param($terminal)
            [void]$terminal.Expect('PS [A-Z]:\\.*>', 60)
            $terminal.Type("'mark' + (6*7)`r")
            [void]$terminal.Expect('mark42', 30)
            $terminal.Type("exit 8`r")
            $status = $terminal.WaitExit(30)
            Assert ($status -eq 8) "status $status"
        }
    }
    foreach ($shell in 'pwsh', 'bash') {
        Check "$shell as the shell" {
            $config = New-Server $shell "shell = $shell"
            $done = Invoke-Ssh @('box', 'exit 6') -Config $config
            if ($done.Status -ne 6 -and -not (Get-Command "$shell.exe" -CommandType Application -ErrorAction SilentlyContinue)) {
                Assert ($done.Err -match $shell) "it is not here, and the user is not told so: $(Show $done)"
                Skip "it is not here, and the user is told: $($done.Err)"
            }
            if ($done.Status -ne 6 -and $shell -eq 'bash') { Skip "there may be no Linux behind this bash: $(Show $done)" }
            Assert ($done.Status -eq 6) (Show $done)
        }
    }

    # --- a terminal ---

    Check 'a shell at a terminal' {
        With-Terminal @('box') {
            param($terminal)
            [void]$terminal.Expect('[A-Z]:\\.*>', 30)
            $terminal.Type("echo ma^rk`r")
            [void]$terminal.Expect('mark', 20)
            $terminal.Type("exit 9`r")
            $status = $terminal.WaitExit(20)
            Assert ($status -eq 9) "status $status"
        }
    }
    Check 'the window has the client''s size, and follows it' {
        With-Terminal @('box', (Encoded 'while ($true) { "size=$([Console]::WindowWidth)x$([Console]::WindowHeight);"; Start-Sleep -Milliseconds 300 }')) -Columns 97 -Rows 31 {
            param($terminal)
            [void]$terminal.Expect('size=97x31;', 40)
            $terminal.Resize(121, 42)
            [void]$terminal.Expect('size=121x42;', 20)
            $terminal.Resize(64, 20)
            [void]$terminal.Expect('size=64x20;', 20)
        }
    }
    Check 'Ctrl-C ends the program and not the shell' {
        With-Terminal @('box') {
            param($terminal)
            [void]$terminal.Expect('[A-Z]:\\.*>', 30)
            $terminal.Type("ping -n 500 127.0.0.1`r")
            [void]$terminal.Expect('(?s)127\.0\.0\.1.*127\.0\.0\.1.*127\.0\.0\.1', 20)
            $terminal.Type([string][char]3)
            [void]$terminal.Expect('[A-Z]:\\[^>]*>', 20)
            $terminal.Type("echo ali^ve`r")
            [void]$terminal.Expect('alive', 20)
            $terminal.Type("exit 3`r")
            $status = $terminal.WaitExit(20)
            Assert ($status -eq 3) "status $status"
        }
    }
    Check 'wide and other letters on the screen' {
        $word = -join [char[]](0x65E5, 0x672C, 0x8A9E, 0xE4, 0xDF, 0x438)
        With-Terminal @('box', (Encoded "[Console]::OutputEncoding = [Text.Encoding]::UTF8; '<$word>'")) {
            param($terminal)
            # A wide character may be drawn with a blank for its second cell.
            $pattern = '<' + (($word.ToCharArray() | ForEach-Object { [regex]::Escape([string]$_) }) -join ' ?') + ' ?>'
            [void]$terminal.Expect($pattern, 40)
        }
    }
    Check 'wide and other letters from the keyboard' {
        $word = -join [char[]](0x65E5, 0x672C, 0xE4, 0x438)
        $codes = ($word.ToCharArray() | ForEach-Object { '{0:x4}' -f [int]$_ }) -join ' '
        $code = '[Console]::InputEncoding = [Text.Encoding]::Unicode; "ready:"; $l = [Console]::ReadLine(); "codes " + (($l.ToCharArray() | % { "{0:x4}" -f [int]$_ }) -join " ") + "."'
        With-Terminal @('box', (Encoded $code)) {
            param($terminal)
            [void]$terminal.Expect('ready:', 40)
            $terminal.Type("$word`r")
            [void]$terminal.Expect("codes $codes\.", 20)
        }
    }
    Check 'colours' {
        With-Terminal @('box', (Encoded 'Write-Host -ForegroundColor Red "reddish"; Write-Host ([char]27 + "[38;2;1;2;3mtruecolour" + [char]27 + "[0m")')) {
            param($terminal)
            [void]$terminal.Expect('truecolour', 40)
            Assert ($terminal.Raw -match "\x1b\[(?:\d+;)*(?:91|31)(?:;\d+)*m") "no red in $($terminal.Raw -replace '\x1b', 'ESC')"
        }
    }
    Check 'many lines arrive whole' {
        With-Terminal @('box', 'for /l %i in (1,1,2000) do @echo line%iend') {
            param($terminal)
            [void]$terminal.Expect('line2000end', 90)
            $status = $terminal.WaitExit(20)
            Assert ($status -eq 0) "status $status"
        }
    }
    Check 'a killed client at a terminal leaves no process' {
        With-Terminal @('box') {
            param($terminal)
            [void]$terminal.Expect('[A-Z]:\\.*>', 30)
            $terminal.Kill()
        }
        [void](Wait-Until 'its server has ended' 20 { @(Get-CimInstance Win32_Process -Filter "Name = 'multissh-sshd.exe'" | Where-Object { "$($_.ExecutablePath)" -like "*$Tag*" }).Count -eq 0 })
    }

    # --- files ---

    function Invoke-Sftp([string[]]$Batch, [string]$Config = $script:ClientConfig) {
        $file = Join-Path $Work ('batch-' + [Guid]::NewGuid().ToString('N').Substring(0, 6))
        Write-File $file (($Batch -join "`n") + "`n")
        return (Invoke-Program $Sftp @('-F', $Config, '-b', $file, 'box') -Seconds 900)
    }

    $There = '/' + (Forward $Files)
    Check 'sftp begins in the profile, and / lists the drives' {
        $done = Invoke-Sftp @('pwd', 'ls -1 /')
        Assert ($done.Status -eq 0 -and $done.Out -match [regex]::Escape('/' + (Forward $env:USERPROFILE)) -and $done.Out -match '(?m)^/?C:/?\s*$') (Show $done)
    }
    Check "sftp: $Megabytes MB each way" {
        $back = Join-Path $Work 'big.back'
        $done = Invoke-Sftp @("put $(Forward $Big) $There/big.bin", "get $There/big.bin $(Forward $back)")
        Assert-Ok $done
        Assert ((Get-FileHash -LiteralPath (Join-Path $Files 'big.bin')).Hash -eq $BigHash) 'what arrived there is not the same'
        Assert ((Get-FileHash -LiteralPath $back).Hash -eq $BigHash) 'what came back is not the same'
        Remove-Item -LiteralPath $back, (Join-Path $Files 'big.bin')
    }
    Check 'sftp: folders, renaming, times, and names whatever their case' {
        $source = Join-Path $Work 'source.txt'
        Write-File $source 'text'
        (Get-Item -LiteralPath $source).LastWriteTimeUtc = [DateTime]::new(2009, 2, 13, 23, 31, 30, [DateTimeKind]::Utc)
        $done = Invoke-Sftp @("mkdir $There/a", "put -p $(Forward $source) $There/a/one.txt", "rename $There/A/ONE.TXT $There/a/two.txt", "ls -l $There/a")
        Assert-Ok $done
        $file = Get-Item -LiteralPath (Join-Path $Files 'a\two.txt')
        Assert ($file.LastWriteTimeUtc.Year -eq 2009 -and $file.Length -eq 4) "$($file.LastWriteTimeUtc)"
        Assert-Ok (Invoke-Sftp @("rename $There/a/two.txt $There/a/TWO.txt"))
        $names = @(Get-ChildItem -LiteralPath (Join-Path $Files 'a') | ForEach-Object { $_.Name })
        Assert ($names -ccontains 'TWO.txt') "the case alone was to change: $names"
        Assert-Ok (Invoke-Sftp @("rm $There/a/two.txt", "rmdir $There/a"))
        Assert (-not (Test-Path -LiteralPath (Join-Path $Files 'a'))) 'the folder is still there'
    }
    Check 'sftp: names that Windows cannot have are refused' {
        $source = Join-Path $Work 'source.txt'
        foreach ($name in 'a:b', 'NUL', 'con.txt', 'ends.', 'a|b', 'a?b') {
            $done = Invoke-Sftp @("put $(Forward $source) ""$There/$name""")
            Assert ($done.Status -ne 0) "$name was taken: $(Show $done)"
        }
        Assert (@(Get-ChildItem -LiteralPath $Files -Force).Count -eq 0) "left: $((Get-ChildItem -LiteralPath $Files -Force).Name)"
    }
    Check 'sftp: paths over 260 characters' {
        $source = Join-Path $Work 'source.txt'
        $path = $There
        $batch = @()
        foreach ($n in 1..8) { $path += '/' + ("long$n" * 10); $batch += "mkdir $path" }
        $back = Join-Path $Work 'long.back'
        $batch += "put $(Forward $source) $path/file.txt", "get $path/file.txt $(Forward $back)", "ls -l $path", "rm $path/file.txt"
        foreach ($n in 8..1) { $batch += "rmdir $path"; $path = $path.Substring(0, $path.LastIndexOf('/')) }
        $done = Invoke-Sftp $batch
        Assert ($done.Status -eq 0 -and [IO.File]::ReadAllText($back) -eq 'text') (Show $done)
        Assert (@(Get-ChildItem -LiteralPath $Files -Force).Count -eq 0) 'something is left'
    }
    Check 'sftp: symbolic links' {
        Write-File (Join-Path $Files 'target.txt') 'linked'
        $done = Invoke-Sftp @("ln -s $There/target.txt $There/link.txt")
        if ($done.Status -ne 0) {
            Remove-Item -LiteralPath (Join-Path $Files 'target.txt')
            if ($Elevated) { throw (Show $done) }
            Skip "only administrators, or anybody in developer mode, may make them: $($done.Err)"
        }
        $back = Join-Path $Work 'link.back'
        Assert-Ok (Invoke-Sftp @("get $There/link.txt $(Forward $back)", "ls -l $There", "rm $There/link.txt"))
        Assert ([IO.File]::ReadAllText($back) -eq 'linked') 'the link does not lead to its target'
        Assert (Test-Path -LiteralPath (Join-Path $Files 'target.txt')) 'the target was removed with the link'
        Remove-Item -LiteralPath (Join-Path $Files 'target.txt')
    }
    Check 'sftp: a file that another program has open' {
        $path = Join-Path $Files 'held.txt'
        $held = [IO.File]::Open($path, 'Create', 'ReadWrite', 'None')
        try {
            $done = Invoke-Sftp @("get $There/held.txt $(Forward (Join-Path $Work 'held.back'))")
            Assert ($done.Status -ne 0 -and $done.Err -notmatch '(?i)unknown') (Show $done)
            $done.Err
        } finally { $held.Close(); Remove-Item -LiteralPath $path }
    }
    Check 'sftp: a file is replaced while another program reads it' {
        $path = Join-Path $Files 'read.txt'
        Write-File $path 'old'
        Write-File (Join-Path $Files 'fresh.txt') 'fresh'
        $reader = [IO.File]::Open($path, 'Open', 'Read', 'ReadWrite, Delete')
        try {
            # OpenSSH's client asks for a rename that replaces.
            Assert-Ok (Invoke-Sftp @("rename $There/fresh.txt $There/read.txt"))
            Assert ([IO.File]::ReadAllText($path) -eq 'fresh') 'the old one is still there'
        } finally { $reader.Close() }
        Remove-Item -LiteralPath $path
    }
    Check 'scp both ways' {
        if ($clientMajor -lt 9) { Skip "scp of OpenSSH 9 and later uses SFTP; this is $version" }
        $source = Join-Path $Work 'source.txt'
        $back = Join-Path $Work 'scp.back'
        Assert-Ok (Invoke-Program $Scp @('-F', $ClientConfig, (Forward $source), "box:$There/scp.txt"))
        Assert-Ok (Invoke-Program $Scp @('-F', $ClientConfig, "box:$There/scp.txt", (Forward $back)))
        Assert ([IO.File]::ReadAllText($back) -eq 'text') 'what came back is not the same'
        Remove-Item -LiteralPath (Join-Path $Files 'scp.txt')
    }

    # --- forwarding ---

    Check 'a forwarded port' {
        $listener = New-Object System.Net.Sockets.TcpListener ([Net.IPAddress]::Loopback), 0
        $listener.Start()
        try {
            $port = $listener.LocalEndpoint.Port
            $started = Start-Program $Ssh @('-F', $ClientConfig, '-W', "127.0.0.1:$port", 'box')
            $accept = $listener.AcceptTcpClientAsync()
            Assert ($accept.Wait(30000)) 'nobody connected'
            $stream = $accept.Result.GetStream()
            $bytes = Text-Bytes 'through'
            $stream.Write($bytes, 0, $bytes.Length)
            $accept.Result.Close()
            Close-Input $started
            $done = Wait-Program $started 30
            Assert ($done.Out -eq 'through') (Show $done)
        } finally { $listener.Stop() }
    }

    # --- who may log in ---

    Check 'a stranger''s key is refused' {
        $other = Join-Path $Work 'other'
        [void](New-Key $other)
        $done = Invoke-Ssh @('box', 'echo in') -Config (New-Server 'stranger' '' $other)
        Assert ($done.Status -eq 255 -and $done.Out -notmatch 'in' -and $done.Err -match 'Permission denied') (Show $done)
    }
    Check 'another account is refused when run by hand' {
        $done = Invoke-Ssh @('-l', 'Guest', 'box', 'echo in')
        Assert ($done.Status -eq 255 -and $done.Out -notmatch 'in') (Show $done)
    }
    Check 'a file of keys that others can write is not believed' {
        $everyone = '*S-1-1-0'
        Set-Rights @($AuthorizedKeys, '/grant', "${everyone}:(W)")
        try {
            $done = Invoke-Ssh @('box', 'echo in')
            Assert ($done.Status -eq 255) "it was believed: $(Show $done)"
        } finally { Set-Rights @($AuthorizedKeys, '/remove:g', $everyone) }
        Assert-Ok (Invoke-Ssh @('box', 'echo in'))
    }
    Check 'passwords do not count when run by hand' {
        $config = New-Server 'passwords' 'passwords = yes'
        $done = Invoke-Ssh @('-v', '-o', 'PubkeyAuthentication=no', '-o', 'PasswordAuthentication=yes', 'box', 'echo in') -Config $config
        Assert ($done.Status -eq 255 -and $done.Out -notmatch 'in') (Show $done)
    }
    Check 'the state folder''s key is kept from others' {
        $path = Join-Path $Work 'state-plain'
        $keys = @(Get-ChildItem -LiteralPath $path -Force | Where-Object { $_.Name -match 'key' -and $_.Extension -ne '.pub' })
        if ($keys.Count -eq 0) { Skip 'the host key is that of Windows'' own OpenSSH server' }
        foreach ($key in $keys) {
            foreach ($entry in (Get-Acl -LiteralPath $key.FullName).Access) {
                $sid = $entry.IdentityReference.Translate([Security.Principal.SecurityIdentifier]).Value
                Assert ($sid -in 'S-1-5-18', 'S-1-5-32-544', $Identity.User.Value) "$($key.Name): $($entry.IdentityReference) has $($entry.FileSystemRights)"
            }
        }
    }

    # --- with the rights of an administrator: the service, and other accounts ---

    if (-not $Elevated) {
        foreach ($what in 'the service', 'its event log entries', 'its restart after a failure', 'keys and passwords of other accounts', 'administrators_authorized_keys') {
            Check $what { Skip 'needs PowerShell opened with "Run as administrator"' }
        }
    } else {
        $ServiceBin = New-Folder (Join-Path $env:ProgramFiles "multissh-check-$Tag")
        [void]$Undo.Add(@{ What = "the folder $ServiceBin"; How = { Remove-Folder $ServiceBin } })
        foreach ($name in 'multissh-agent.exe', 'multissh-sshd.exe') { Copy-Item -LiteralPath (Join-Path $Here $name) -Destination $ServiceBin }
        $ServiceAgent = Join-Path $ServiceBin 'multissh-agent.exe'
        $ServiceState = Join-Path $env:ProgramData "multissh-check-$Tag"
        [void]$Undo.Add(@{ What = "the folder $ServiceState"; How = { Remove-Folder $ServiceState } })
        $ServiceName = "check-$Tag"
        $began = Get-Date

        if (Get-Service -Name $Service -ErrorAction SilentlyContinue) {
            Check 'the service' { Skip "a service $Service is installed here already, and is left alone" }
        } else {
            [void]$Undo.Add(@{ What = 'the service'; How = {
                        if (Get-Service -Name $Service -ErrorAction SilentlyContinue) { Assert-Ok (Invoke-Program $ServiceAgent @('service', 'remove') -Seconds 90) }
                    } })
            # Without a hub it calls where nobody answers, and goes on calling: enough for the service itself.
            $target = if ($Join) { $Join } else { '127.0.0.1:9' }

            Check 'the service is installed and started' {
                $done = Invoke-Program $ServiceAgent @('service', 'status')
                Assert ($done.Status -eq 4) "status, when it is not installed: $(Show $done)"
                Assert-Ok (Invoke-Program $ServiceAgent @('--state', $ServiceState, 'service', 'install', $target, '--name', $ServiceName, '--ssh-mode', 'built-in') -Seconds 90)
                $made = Get-CimInstance Win32_Service -Filter "Name = '$Service'"
                Assert ($made.State -eq 'Running' -and $made.StartMode -eq 'Auto' -and $made.StartName -eq 'LocalSystem') "$($made.State), $($made.StartMode), $($made.StartName)"
                Assert ($made.PathName.StartsWith('"')) "the path is not quoted: $($made.PathName)"
                $made.PathName
            }
            Check 'installing and starting it twice is no fault' {
                Assert-Ok (Invoke-Program $ServiceAgent @('--state', $ServiceState, 'service', 'install') -Seconds 90)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'start') -Seconds 90)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'status'))
            }
            Check 'its folder is kept from ordinary users' {
                foreach ($path in @($ServiceState) + @(Get-ChildItem -LiteralPath $ServiceState -Force | ForEach-Object { $_.FullName })) {
                    foreach ($entry in (Get-Acl -LiteralPath $path).Access) {
                        $sid = $entry.IdentityReference.Translate([Security.Principal.SecurityIdentifier]).Value
                        Assert ($sid -in 'S-1-5-18', 'S-1-5-32-544') "${path}: $($entry.IdentityReference) has $($entry.FileSystemRights)"
                    }
                }
            }
            Check 'the event log has its lines' {
                $events = Wait-Until 'an event of the service' 20 {
                    @(Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = $Service; StartTime = $began } -ErrorAction SilentlyContinue)
                }
                foreach ($one in @($events)) {
                    Assert ($one.Message -and $one.Message -notmatch '(?i)description for event ID') "the text is not found: $($one.Message)"
                }
                "$(@($events).Count) events; $(@($events)[0].Message)"
            }
            Check 'it is started again when it fails' {
                $before = (Get-CimInstance Win32_Service -Filter "Name = '$Service'").ProcessId
                Stop-Process -Id $before -Force
                $after = Wait-Until 'another process of the service' 120 {
                    $now = Get-CimInstance Win32_Service -Filter "Name = '$Service'"
                    if ($now.State -eq 'Running' -and $now.ProcessId -ne $before -and $now.ProcessId -ne 0) { $now.ProcessId }
                }
                "process $before, then $after"
            }
            Check 'restart, reload, stop' {
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'restart') -Seconds 120)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'reload') -Seconds 60)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'status'))
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'stop') -Seconds 120)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'stop') -Seconds 120)
                $done = Invoke-Program $ServiceAgent @('service', 'status')
                Assert ($done.Status -eq 3) (Show $done)
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'start') -Seconds 120)
            }
            Check 'the machine is at the hub' {
                if (-not $Join) { Skip 'no -Join HOST:PORT/CODE was given' }
                [void](Wait-Until 'a line that it was welcomed' 60 {
                        @(Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = $Service; StartTime = $began } -ErrorAction SilentlyContinue |
                                Where-Object { $_.Message -match 'welcomed' }).Count -gt 0
                    })
            }
            Check 'the hub lists it' {
                if (-not ($Join -and $HubLogin)) { Skip 'no -HubLogin USER@HOST:PORT was given' }
                $done = Invoke-Ssh @('hub', 'list') -Config (New-HubClient $Me $ClientKey)
                Assert ($done.Status -eq 0 -and $done.Out -match [regex]::Escape($ServiceName)) (Show $done)
            }
            Check 'multissh lists it' {
                if (-not ($Join -and $HubLogin)) { Skip 'no -HubLogin USER@HOST:PORT was given' }
                $done = Invoke-Program $Client @('--hub', 'hub', '--ssh-config', (New-HubClient $Me $ClientKey), 'list') -Seconds 60
                Assert ($done.Status -eq 0 -and $done.Out -match [regex]::Escape($ServiceName)) (Show $done)
            }
        }

        # A listener that runs as the system, as the service does, and starts a server for each connection: so the tokens of
        # accounts are seen without a hub.
        $ListenerSource = @'
param([string]$Program, [string]$State, [string]$PortFile)
$ErrorActionPreference = 'Stop'
Add-Type -Language CSharp -IgnoreWarnings -TypeDefinition @"
using System.Diagnostics;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Threading;
public static class CheckListener
{
    static void Pump(Stream from, Stream to)
    {
        byte[] block = new byte[65536];
        int n;
        try
        {
            while ((n = from.Read(block, 0, block.Length)) > 0) { to.Write(block, 0, n); to.Flush(); }
        }
        catch (IOException) { }
        try { to.Close(); } catch (IOException) { }
    }
    static void One(TcpClient client, string program, string words)
    {
        using (client)
        {
            ProcessStartInfo info = new ProcessStartInfo(program, words);
            info.UseShellExecute = false;
            info.CreateNoWindow = true;
            info.RedirectStandardInput = info.RedirectStandardOutput = true;
            using (Process process = Process.Start(info))
            {
                Stream wire = client.GetStream();
                Thread up = new Thread(delegate () { Pump(wire, process.StandardInput.BaseStream); });
                up.IsBackground = true;
                up.Start();
                Pump(process.StandardOutput.BaseStream, wire);
                process.WaitForExit(10000);
            }
        }
    }
    public static void Run(string program, string words, string portFile)
    {
        TcpListener listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        File.WriteAllText(portFile + ".new", ((IPEndPoint)listener.LocalEndpoint).Port.ToString());
        File.Move(portFile + ".new", portFile);
        for (;;)
        {
            TcpClient client = listener.AcceptTcpClient();
            new Thread(delegate () { One(client, program, words); }).Start();
        }
    }
}
"@
[CheckListener]::Run($Program, "--inetd --state ""$State""", $PortFile)
'@
        function Start-Listener([string]$Name, [string]$Settings) {
            if (-not (Test-Path -LiteralPath $ServiceState)) { Skip 'the service could not be installed, so there is no folder for the system' }
            $state = New-Folder (Join-Path $ServiceState "listener-$Name")
            Write-File (Join-Path $state 'sshd.conf') "$Settings`n"
            $file = Join-Path $state 'listener.ps1'
            Write-File $file $ListenerSource
            $portFile = Join-Path $state 'port'
            $program = Join-Path $ServiceBin 'multissh-sshd.exe'
            $words = "-NoProfile -NonInteractive -ExecutionPolicy Bypass -File ""$file"" -Program ""$program"" -State ""$state"" -PortFile ""$portFile"""
            $action = New-ScheduledTaskAction -Execute "$env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell.exe" -Argument $words
            $principal = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
            $limits = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries -ExecutionTimeLimit (New-TimeSpan -Minutes 30)
            [void](Register-ScheduledTask -TaskName "$TaskName-$Name" -Action $action -Principal $principal -Settings $limits)
            $made = "$TaskName-$Name"
            [void]$Undo.Add(@{ What = "the task $made"; How = {
                        Stop-ScheduledTask -TaskName $made -ErrorAction SilentlyContinue
                        Unregister-ScheduledTask -TaskName $made -Confirm:$false
                    }.GetNewClosure() })
            Start-ScheduledTask -TaskName $made
            [void](Wait-Until 'the listener of the system' 60 { Test-Path -LiteralPath $portFile })
            $port = [IO.File]::ReadAllText($portFile).Trim()
            $key = Invoke-Program $program @('--state', $state, '--print-host-key')
            Assert-Ok $key
            return @('HostName 127.0.0.1', "Port $port"), $key.Out.Trim()
        }

        if (-not $WithTestAccount) {
            foreach ($what in 'a login by key as another account', 'administrators_authorized_keys', 'a login by password') { Check $what { Skip '-WithTestAccount was not given' } }
        } elseif (Get-LocalUser -Name $TestAccount -ErrorAction SilentlyContinue) {
            Check 'logins as another account' { Skip "an account $TestAccount is here already, and is left alone" }
        } else {
            $password = 'Mc-' + [Guid]::NewGuid().ToString('N').Substring(0, 12) + '!7'
            $secure = ConvertTo-SecureString $password -AsPlainText -Force
            $account = New-LocalUser -Name $TestAccount -Password $secure -Description 'Made and removed by check.ps1' -PasswordNeverExpires
            $sid = $account.SID.Value
            [void]$Undo.Add(@{ What = "the account $TestAccount"; How = {
                        Get-CimInstance Win32_UserProfile -Filter "SID = '$sid'" | Remove-CimInstance -ErrorAction SilentlyContinue
                        Remove-LocalUser -SID $sid
                    } })
            Add-LocalGroupMember -SID 'S-1-5-32-545' -Member $TestAccount -ErrorAction SilentlyContinue

            $AccountHome = ''
            Check 'a profile for the test account' {
                # Its first logon makes it.
                $credential = New-Object System.Management.Automation.PSCredential ".\$TestAccount", $secure
                Start-Process -FilePath "$env:SystemRoot\System32\cmd.exe" -ArgumentList '/d', '/c', 'exit' -Credential $credential -LoadUserProfile -WorkingDirectory $env:SystemRoot -WindowStyle Hidden -Wait
                $script:AccountHome = Wait-Until 'the profile folder' 30 { Get-CimInstance Win32_UserProfile -Filter "SID = '$sid'" | Select-Object -ExpandProperty LocalPath }
                $keys = New-Folder (Join-Path $script:AccountHome '.ssh')
                Write-File (Join-Path $keys 'authorized_keys') "$ClientPublic check`r`n"
                $script:AccountHome
            }
            $own = Join-Path $script:AccountHome '.ssh\authorized_keys'
            $Other = ''
            Check 'a login by key is the account itself, with its own token' {
                $where, $hostKey = Start-Listener 'keys' ''
                $script:Other = New-Client 'other' $TestAccount $ClientKey $where $hostKey
                $done = Invoke-Ssh @('box', 'whoami') -Config $script:Other
                Assert ($done.Status -eq 0 -and $done.Out.Trim() -eq "$env:COMPUTERNAME\$TestAccount") (Show $done)
                $done = Invoke-Ssh @('box', 'whoami /groups /fo csv /nh') -Config $script:Other
                Assert ($done.Out -notmatch 'S-1-16-16384' -and $done.Out -notmatch 'S-1-5-18') "it has the system's rights: $($done.Out)"
                $done = Invoke-Ssh @('box', 'echo %USERPROFILE%& reg query HKCU\Environment /v TEMP& echo x> %SystemRoot%\multissh-check.txt') -Config $script:Other
                Assert ($done.Out -match [regex]::Escape($script:AccountHome)) "the profile: $(Show $done)"
                Assert ($done.Out -match 'TEMP') "its registry is not loaded: $(Show $done)"
                Assert (-not (Test-Path -LiteralPath "$env:SystemRoot\multissh-check.txt")) 'it could write to the Windows folder'
            }
            Check 'a terminal and files as the account' {
                With-Terminal @('box', 'whoami') -Config $script:Other {
                    param($terminal)
                    [void]$terminal.Expect("(?i)\\$TestAccount", 30)
                }
                $done = Invoke-Sftp @('pwd', "put $(Forward (Join-Path $Work 'source.txt')) own.txt", "-put $(Forward (Join-Path $Work 'source.txt')) /C:/Windows/multissh-check.txt") -Config $script:Other
                Assert-Ok $done
                $owner = (Get-Acl -LiteralPath (Join-Path $script:AccountHome 'own.txt')).Owner
                Assert ($owner -match $TestAccount) "the file belongs to $owner"
                Assert (-not (Test-Path -LiteralPath "$env:SystemRoot\multissh-check.txt")) 'it could write to the Windows folder'
            }
            Check 'its file of keys that others can write is not believed' {
                Set-Rights @($own, '/grant', '*S-1-5-32-545:(W)')
                $done = Invoke-Ssh @('box', 'echo in') -Config $script:Other
                Set-Rights @($own, '/remove:g', '*S-1-5-32-545')
                Assert ($done.Status -eq 255) "it was believed: $(Show $done)"
                Assert-Ok (Invoke-Ssh @('box', 'echo in') -Config $script:Other)
            }
            Check 'a .ssh that is a junction is not followed' {
                $keys = Join-Path $script:AccountHome '.ssh'
                $elsewhere = Join-Path $script:AccountHome 'elsewhere'
                Rename-Item -LiteralPath $keys -NewName 'elsewhere'
                [void](New-Item -ItemType Junction -Path $keys -Target $elsewhere)
                $done = Invoke-Ssh @('box', 'echo in') -Config $script:Other
                # Not Remove-Item: it may ask what is to become of what the junction leads to.
                [IO.Directory]::Delete($keys)
                Rename-Item -LiteralPath $elsewhere -NewName '.ssh'
                Assert ($done.Status -eq 255) "it was followed: $(Show $done)"
                Assert-Ok (Invoke-Ssh @('box', 'echo in') -Config $script:Other)
            }
            Check 'a disabled account is refused' {
                Disable-LocalUser -SID $sid
                $done = Invoke-Ssh @('box', 'echo in') -Config $script:Other
                Enable-LocalUser -SID $sid
                Assert ($done.Status -eq 255 -and $done.Out -notmatch 'in') (Show $done)
            }
            Check 'a password is refused unless passwords = yes' {
                With-Terminal @('-o', 'BatchMode=no', '-o', 'PubkeyAuthentication=no', '-o', 'PasswordAuthentication=yes', 'box', 'whoami') -Config $script:Other {
                    param($terminal)
                    [void]$terminal.Expect('Permission denied', 30)
                }
            }
            Check 'the right password, and a wrong one' {
                $where, $hostKey = Start-Listener 'passwords' 'passwords = yes'
                $config = New-Client 'password' $TestAccount $ClientKey $where $hostKey
                $words = @('-o', 'BatchMode=no', '-o', 'PubkeyAuthentication=no', '-o', 'PasswordAuthentication=yes', '-o', 'NumberOfPasswordPrompts=1', 'box', 'whoami')
                With-Terminal $words -Config $config {
                    param($terminal)
                    [void]$terminal.Expect('(?i)password:', 30)
                    $terminal.Type("$password`r")
                    [void]$terminal.Expect("(?i)\\$TestAccount", 30)
                }
                With-Terminal $words -Config $config {
                    param($terminal)
                    [void]$terminal.Expect('(?i)password:', 30)
                    $terminal.Type("not-$password`r")
                    [void]$terminal.Expect('Permission denied', 30)
                }
            }
            Check 'administrators_authorized_keys' {
                $folder = Join-Path $env:ProgramData 'ssh'
                $file = Join-Path $folder 'administrators_authorized_keys'
                if (Test-Path -LiteralPath $file) { Skip "$file is here already, and is left alone" }
                Add-LocalGroupMember -SID 'S-1-5-32-544' -Member $TestAccount
                $madeFolder = -not (Test-Path -LiteralPath $folder)
                if ($madeFolder) { [void](New-Folder $folder) }
                try {
                    $done = Invoke-Ssh @('box', 'echo in') -Config $script:Other
                    Assert ($done.Status -eq 255) "an administrator's own file of keys was believed: $(Show $done)"
                    Write-File $file "$ClientPublic check`r`n"
                    Set-Rights @($file, '/inheritance:r', '/grant', '*S-1-5-32-544:F', '/grant', '*S-1-5-18:F')
                    $done = Invoke-Ssh @('box', 'whoami') -Config $script:Other
                    Assert ($done.Status -eq 0 -and $done.Out.Trim() -eq "$env:COMPUTERNAME\$TestAccount") (Show $done)
                    $done = Invoke-Ssh @('box', 'whoami /groups /fo csv /nh') -Config $script:Other
                    Assert ($done.Out -match 'S-1-5-32-544') "it is no administrator: $($done.Out)"
                    Set-Rights @($file, '/grant', '*S-1-5-32-545:(W)')
                    $done = Invoke-Ssh @('box', 'echo in') -Config $script:Other
                    Assert ($done.Status -eq 255) "it was believed though users can write it: $(Show $done)"
                } finally {
                    if (Test-Path -LiteralPath $file) { Remove-Item -LiteralPath $file -Force }
                    if ($madeFolder) { Remove-Folder $folder }
                    Remove-LocalGroupMember -SID 'S-1-5-32-544' -Member $TestAccount -ErrorAction SilentlyContinue
                }
            }
            Check 'through the hub, as the account' {
                if (-not ($Join -and $HubLogin)) { Skip 'no -Join and -HubLogin were given' }
                $done = Invoke-Ssh @('machine', 'whoami') -Config (New-HubClient $TestAccount $ClientKey)
                Assert ($done.Status -eq 0 -and $done.Out.Trim() -eq "$env:COMPUTERNAME\$TestAccount") (Show $done)
            }
            Check 'through the hub by multissh, as the account; the session goes on while the service is restarted' {
                if (-not ($Join -and $HubLogin)) { Skip 'no -Join and -HubLogin were given' }
                $words = @('--hub', 'hub', '--ssh-config', (New-HubClient $TestAccount $ClientKey), 'ssh', '-i', $ClientKey, '-o', 'IdentitiesOnly=yes',
                    '-o', 'StrictHostKeyChecking=accept-new', '-o', "UserKnownHostsFile=$(Forward (Join-Path $Work 'known-multissh'))", "$TestAccount@$ServiceName")
                $done = Invoke-Program $Client ($words + @('whoami')) -Seconds 60
                Assert ($done.Status -eq 0 -and $done.Out.Trim() -eq "$env:COMPUTERNAME\$TestAccount") (Show $done)
                $session = Start-Job -ScriptBlock { param($Program, $Words) & $Program @Words 2>&1 } -ArgumentList $Client, ($words + @('echo begun & ping -n 21 127.0.0.1 >nul & echo went on'))
                try {
                    Start-Sleep -Seconds 5
                    Assert-Ok (Invoke-Program $ServiceAgent @('service', 'restart') -Seconds 120)
                    $said = Receive-Job -Job $session -Wait
                    Assert ("$said" -match 'begun' -and "$said" -match 'went on') "it said: $said"
                } finally { Remove-Job -Job $session -Force -ErrorAction SilentlyContinue }
            }
        }

        if (Test-Path -LiteralPath $ServiceAgent) {
            Check 'the service is removed, and its sessions with it' {
                if (-not (Get-CimInstance Win32_Service -Filter "Name = '$Service'" | Where-Object { $_.PathName -like "*$Tag*" })) { Skip 'it was not installed by this script' }
                Assert-Ok (Invoke-Program $ServiceAgent @('service', 'remove') -Seconds 120)
                Assert (-not (Get-Service -Name $Service -ErrorAction SilentlyContinue)) 'it is still there'
                $done = Invoke-Program $ServiceAgent @('service', 'status')
                Assert ($done.Status -eq 4) (Show $done)
            }
        }
    }
} catch {
    $Failed++
    Write-Result 'FAIL' 'this script itself' "$($_.Exception.Message) [$(Where-From $_)]"
} finally {
    # The last made goes first.
    for ($i = $Undo.Count - 1; $i -ge 0; $i--) {
        $step = $Undo[$i]
        if ($i -eq 0) {
            $left = @(Mine)
            foreach ($process in $left) { Stop-Process -Id $process.ProcessId -Force -ErrorAction SilentlyContinue }
            if ($left.Count -gt 0) {
                $Failed++
                Write-Result 'FAIL' 'nothing is left running' (($left | ForEach-Object { "$($_.ProcessId) $($_.Name)" }) -join ', ')
            } else {
                $Passed++
                Write-Result 'PASS' 'nothing is left running' ''
            }
        }
        try { & $step.How } catch {
            $Failed++
            Write-Result 'FAIL' "$($step.What) could not be removed; please do it by hand" $_.Exception.Message
        }
    }
    Write-Line ''
    Write-Line "$Passed passed, $Failed failed, $Skipped skipped" $(if ($Failed) { 'Red' } else { 'Green' })
    $Lines | Out-File -FilePath $Report -Encoding utf8
    Write-Host "The report is in $Report"
}
exit $(if ($Failed) { 1 } else { 0 })

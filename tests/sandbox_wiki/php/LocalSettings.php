<?php
/**
 * A miniature Commons. It is named by MW_CONFIG_FILE, so MediaWiki's own tree stays read-only and shared;
 * every path and port comes from the environment, so a site folder can be copied and served elsewhere as it is.
 */

$sandboxSite = getenv( 'SANDBOX_SITE' );
$sandboxPrograms = getenv( 'SANDBOX_PROGRAMS' );
$sandboxSwitches = json_decode( (string)@file_get_contents( "$sandboxSite/switches.json" ), true ) ?: [];

// Addresses. The canonical server is what the events carry as server_url and server_name.
$wgServer = 'http://127.0.0.1:' . getenv( 'SANDBOX_PORT' );
$wgCanonicalServer = getenv( 'SANDBOX_CANONICAL_SERVER' ) ?: $wgServer;
$wgScriptPath = '/w';
$wgResourceBasePath = '/w';
$wgArticlePath = '/wiki/$1';
$wgUsePathInfo = true;

// Identity. The database's name is the events' "wiki".
$wgDBname = 'commonswiki';
$wgSitename = 'Wikimedia Commons';
$wgMetaNamespace = 'Commons';
$wgLanguageCode = 'en';
$wgLocaltimezone = 'UTC';
$wgSecretKey = str_repeat( '0123456789abcdef', 4 );
$wgUpgradeKey = '0123456789abcdef';
$wgAuthenticationTokenVersion = '1';
$wgEnableEmail = false;
$wgPingback = false;
$wgLogos = false;
$wgDefaultSkin = 'vector';
wfLoadSkin( 'Vector' );
wfLoadSkin( 'MinervaNeue' );

// SQLite in several files: what is written on every request must not wait for the main database's lock.
$wgDBtype = 'sqlite';
$wgSQLiteDataDir = "$sandboxSite/data";
$sandboxDatabase = static function ( string $name, array $more ) use ( $wgSQLiteDataDir ): array {
	return $more + [
		'type' => 'sqlite',
		'dbname' => $name,
		'dbDirectory' => $wgSQLiteDataDir,
		'tablePrefix' => '',
		'variables' => [ 'synchronous' => 'OFF' ],
	];
};
$sandboxQueue = [ 'trxMode' => 'IMMEDIATE', 'flags' => 0 ];
$wgDBservers = [ $sandboxDatabase( $wgDBname, [ 'load' => 1, 'flags' => DBO_DEFAULT ] ) ];
$wgObjectCaches[CACHE_DB] = [
	'class' => SqlBagOStuff::class,
	'loggroup' => 'SQLBagOStuff',
	'server' => $sandboxDatabase( 'wikicache', $sandboxQueue ),
];
$wgJobTypeConf['default'] = [
	'class' => JobQueueDB::class,
	'claimTTL' => 3600,
	'server' => $sandboxDatabase( "{$wgDBname}_jobqueue", $sandboxQueue ),
];
$wgJobRunRate = 0;

// APCu is shared by the workers of `php -S`; sessions lie in SQLite, so they outlive a restart.
$wgMainCacheType = CACHE_ACCEL;
$wgParserCacheType = CACHE_ACCEL;
$wgMessageCacheType = CACHE_ACCEL;
$wgSessionCacheType = CACHE_DB;
$wgCacheDirectory = "$sandboxSite/cache";
$wgLocalisationCacheConf['store'] = 'array';
$wgResourceLoaderUseObjectCacheForDeps = true;

// Uploads, under the paths of upload.wikimedia.org; thumbnails are rendered when they are first asked for.
$wgEnableUploads = true;
$wgFileExtensions = [
	'jpg', 'jpeg', 'png', 'gif', 'webp', 'svg', 'tif', 'tiff', 'xcf', 'webm', 'ogv', 'ogg', 'oga', 'opus',
	'flac', 'wav', 'mp3', 'mid', 'pdf', 'djvu', 'stl',
];
$wgMaxUploadSize = 64 * 1024 * 1024;
$wgUploadDirectory = "$sandboxSite/images";
$wgUploadPath = '/wikipedia/commons';
$wgLocalFileRepo = [
	'class' => LocalRepo::class,
	'name' => 'local',
	'backend' => 'local-backend',
	'directory' => $wgUploadDirectory,
	'url' => $wgUploadPath,
	'scriptDirUrl' => $wgScriptPath,
	'hashLevels' => 2,
	'thumbScriptUrl' => false,
	'transformVia404' => true,
	'deletedDir' => "$wgUploadDirectory/deleted",
	'deletedHashLevels' => 3,
];
$wgUseInstantCommons = false;
$wgGenerateThumbnailOnParse = false;
// Wikimedia's standard widths, for MediaWiki versions that know them; 1.39 renders any width.
$wgThumbnailSteps = [ 20, 40, 60, 120, 250, 330, 500, 960, 1280, 1920, 3840 ];
$wgThumbLimits = [ 120, 250, 330, 500 ];
$wgImageLimits = [ [ 330, 330 ], [ 500, 500 ], [ 960, 960 ] ];
$wgDefaultUserOptions['thumbsize'] = 2;
$wgDefaultUserOptions['imagesize'] = 2;
$wgResponsiveImages = false;
$wgMaxImageArea = 1e8;
$wgUseImageMagick = true;
$wgImageMagickConvertCommand = "$sandboxPrograms/convert";
$wgTiffThumbnailType = [ 'jpg', 'image/jpeg' ];
$wgSVGConverters['sandbox'] = "$sandboxPrograms/rsvg-convert -w \$width -h \$height -o \$output \$input";
$wgSVGConverter = 'sandbox';
$wgPdfProcessor = "$sandboxPrograms/gs";
$wgPdfPostProcessor = "$sandboxPrograms/convert";
$wgPdfInfo = "$sandboxPrograms/pdfinfo";
$wgPdftoText = "$sandboxPrograms/pdftotext";
$wgDiff3 = is_executable( '/usr/bin/diff3' ) ? '/usr/bin/diff3' : '';

// Rights: Commons' groups under their internal names, each with what matters to reviewing.
$wgUseRCPatrol = $wgUseNPPatrol = $wgUseFilePatrol = true;
$wgAllowUserJs = $wgAllowUserCss = true;
$wgEnableBotPasswords = true;
$wgPasswordAttemptThrottle = [];
$wgAccountCreationThrottle = [];
$sandboxPatrol = [ 'patrol' => true, 'patrolmarks' => true, 'autopatrol' => true ];
$wgGroupPermissions['patroller'] = $sandboxPatrol + [ 'rollback' => true ];
$wgGroupPermissions['image-reviewer'] = $sandboxPatrol + [ 'movefile' => true, 'suppressredirect' => true ];
$wgGroupPermissions['autopatrolled'] = [ 'autopatrol' => true ];
$wgGroupPermissions['filemover'] = [ 'movefile' => true, 'suppressredirect' => true ];
$wgGroupPermissions['rollbacker'] = [ 'rollback' => true ];
$wgGroupPermissions['bot']['noratelimit'] = true;
$wgGroupPermissions['sysop']['deleterevision'] = $wgGroupPermissions['sysop']['deletelogentry'] = true;
$wgAddGroups['sysop'] = $wgRemoveGroups['sysop'] = [
	'patroller', 'image-reviewer', 'autopatrolled', 'filemover', 'rollbacker', 'bot',
];

// Extensions that Debian's package brings along.
wfLoadExtensions( [
	'AbuseFilter', 'ConfirmEdit', 'ConfirmEdit/QuestyCaptcha', 'Gadgets', 'ParserFunctions', 'PdfHandler',
	'SpamBlacklist', 'TitleBlacklist',
] );
// The default spam list would be fetched from Meta-Wiki.
$wgBlacklistSettings = [ 'spam' => [ 'files' => [] ], 'email' => [ 'files' => [] ] ];
$wgTitleBlacklistSources = [ 'local' => [ 'type' => 'localpage', 'src' => 'MediaWiki:Titleblacklist' ] ];
$wgCaptchaQuestions = [ 'What colour is the sky?' => [ 'blue' ] ];

// One UDP datagram of JSON per change, for the relay.
$wgRCWatchCategoryMembership = true;
$wgRCFeeds['sandbox'] = [
	'uri' => 'udp://127.0.0.1:' . getenv( 'SANDBOX_CHANGES_PORT' ),
	'formatter' => 'JSONRCFeedFormatter',
	'omit_bots' => false,
	'omit_anon' => false,
	'omit_user' => false,
	'omit_minor' => false,
	'omit_patrolled' => false,
	'add_interwiki_prefix' => false,
];

// Errors go to a file of the site, and their details into the API's answers.
$wgShowExceptionDetails = true;
foreach ( [ 'exception', 'error', 'fatal', 'DBQuery', 'DBConnection' ] as $sandboxChannel ) {
	$wgDebugLogGroups[$sandboxChannel] = [ 'destination' => "$sandboxSite/mediawiki.log", 'level' => 'warning' ];
}

// What a test switches while the server runs; see switches.py.
$wgRateLimits = $sandboxSwitches['rate_limits'] ?? [];
foreach ( [ 'edit', 'create', 'upload', 'addurl', 'createaccount', 'badlogin', 'badloginperuser', 'sendemail' ]
	as $sandboxTrigger ) {
	$wgCaptchaTriggers[$sandboxTrigger] = in_array( $sandboxTrigger, [ 'edit', 'create', 'upload' ] )
		&& ( $sandboxSwitches['captcha'] ?? false );
}
if ( PHP_SAPI !== 'cli' ) {
	if ( isset( $sandboxSwitches['readonly'] ) ) {
		$wgReadOnly = $sandboxSwitches['readonly'];
	}
	if ( isset( $sandboxSwitches['maxlag_s'] ) ) {
		$wgHooks['ApiMaxLagInfo'][] = static function ( array &$lag ) use ( $sandboxSwitches ) {
			$lag['lag'] = (float)$sandboxSwitches['maxlag_s'];
			$lag['host'] = 'db-sandbox';
		};
	}
	usleep( 1000 * (int)( $sandboxSwitches['sleep_ms'] ?? 0 ) );
}

<?php
/**
 * What a web server's rewrite rules do elsewhere: pages, entry points, thumbnails on demand, static files.
 */

$sandboxPath = rawurldecode( parse_url( $_SERVER['REQUEST_URI'], PHP_URL_PATH ) ?: '/' );
$sandboxFile = $_SERVER['DOCUMENT_ROOT'] . $sandboxPath;
$sandboxSwitches = json_decode(
	(string)@file_get_contents( getenv( 'SANDBOX_SITE' ) . '/switches.json' ), true
) ?: [];

if ( preg_match( '#(^|/)\.\.?(/|$)|^/wikipedia/commons/(deleted|temp|lockdir)(/|$)#', $sandboxPath ) ) {
	http_response_code( 403 );
	return true;
}
if ( $sandboxPath === '/' ) {
	header( 'Location: /wiki/Main_Page', true, 302 );
	return true;
}
if ( preg_match( '#^/wiki(/.*)?$#', $sandboxPath, $sandboxMatch ) ) {
	$_SERVER['PATH_INFO'] = $sandboxMatch[1] ?? '';
	$sandboxScript = 'index.php';
} elseif ( preg_match( '#^/w/((?:index|api|load|rest|thumb|opensearch_desc)\.php)(/.*)?$#', $sandboxPath, $sandboxMatch ) ) {
	if ( isset( $sandboxMatch[2] ) ) {
		$_SERVER['PATH_INFO'] = $sandboxMatch[2];
	}
	$sandboxScript = $sandboxMatch[1];
} elseif ( str_starts_with( $sandboxPath, '/wikipedia/commons/thumb/' ) ) {
	if ( isset( $sandboxSwitches['thumbnail_status'] ) ) {
		http_response_code( (int)$sandboxSwitches['thumbnail_status'] );
		header( 'Retry-After: 1' );
		return true;
	}
	if ( is_file( $sandboxFile ) ) {
		return false;
	}
	$sandboxScript = 'thumb_handler.php';
} elseif ( is_file( $sandboxFile ) && !str_ends_with( $sandboxPath, '.php' ) ) {
	return false;
} else {
	http_response_code( 404 );
	echo 'Not found';
	return true;
}

$sandboxEntry = getenv( 'MW_INSTALL_PATH' ) . "/$sandboxScript";
$_SERVER['SCRIPT_NAME'] = $_SERVER['PHP_SELF'] = "/w/$sandboxScript";
$_SERVER['SCRIPT_FILENAME'] = $sandboxEntry;
chdir( dirname( $sandboxEntry ) );
// At file scope, because MediaWiki relies on globals.
require $sandboxEntry;
